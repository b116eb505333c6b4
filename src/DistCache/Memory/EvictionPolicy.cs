namespace DistCache.Memory;

/// <summary>Decides within one shard which value of a size class goes first. Its shard's lock guards it.</summary>
internal abstract class EvictionPolicy
{
    /// <summary>Pages that the policy's own tables take.</summary>
    public abstract int PageCount { get; }

    /// <summary>The entry is new; the policy puts it into a list.</summary>
    public abstract void Added(uint handle, int sizeClass, ulong keyHash);

    /// <summary>The entry was read, or written again.</summary>
    public abstract void Used(uint handle, int sizeClass, ulong keyHash);

    /// <summary>The value to evict; 0 if the class has none.</summary>
    public abstract uint ChooseVictim(int sizeClass);

    /// <summary>The value whose age is that of the class, when classes compete; 0 if it has none.</summary>
    public abstract uint Eldest(int sizeClass);

    /// <summary>The shard holds <paramref name="entries"/> entries now; 0 gives all memory back. False if the policy wants a page and the pool has none.</summary>
    public abstract bool TryResize(int entries);
}

/// <summary>The least recently used one, exactly.</summary>
internal sealed class LruPolicy(RecencyLists lists) : EvictionPolicy
{
    public override int PageCount => 0;

    public override void Added(uint handle, int sizeClass, ulong keyHash) => lists.AddNewest(handle, sizeClass, Segment.Window);

    public override void Used(uint handle, int sizeClass, ulong keyHash) => lists.MoveToNewest(handle, sizeClass, Segment.Window);

    public override uint ChooseVictim(int sizeClass) => Eldest(sizeClass);

    public override uint Eldest(int sizeClass) => lists.Oldest(sizeClass, Segment.Window);

    public override bool TryResize(int entries) => true;
}
