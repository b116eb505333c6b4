namespace DistCache;

/// <summary>Which entry goes when the memory tier is full.</summary>
public enum Eviction
{
    /// <summary>The least recently used one.</summary>
    Lru,

    /// <summary>The least frequently used one, by W-TinyLFU (Einziger, Friedman and Manes, 2017): resists scans and loops.</summary>
    Lfu,
}
