namespace DistCache.Memory;

/// <summary>Decides within one shard which value of a size class goes first. Its shard's lock guards it.</summary>
internal abstract class EvictionPolicy
{
    /// <summary>Pages that the policy's own tables take.</summary>
    public abstract int PageCount { get; }

    /// <summary>The entry is new; the policy puts it into a list.</summary>
    public abstract void Added(uint handle, int sizeClass, ulong keyHash);

    /// <summary>The entry was read, or written again.</summary>
    public abstract void Used(uint handle, int sizeClass);

    /// <summary>The value to evict; 0 if the class has none.</summary>
    public abstract uint ChooseVictim(int sizeClass);

    /// <summary>The value that stands for a class that is to give a page: what it would miss least; 0 if it has none.</summary>
    public abstract uint Eldest(int sizeClass);

    /// <summary>The value that stands for a class that wants a page: the one that its newcomers push out; 0 if it has none.</summary>
    public abstract uint Pushed(int sizeClass);

    /// <summary>Whether <paramref name="giver"/>, being older, is to go rather than <paramref name="taker"/>.</summary>
    public abstract bool IsWorthLess(uint giver, uint taker);

    /// <summary>The shard holds <paramref name="entries"/> entries now; 0 gives all memory back. False if the policy wants a page and the pool has none.</summary>
    public abstract bool TryResize(int entries);
}

/// <summary>The least recently used one, exactly.</summary>
internal sealed class LruPolicy(RecencyLists lists) : EvictionPolicy
{
    public override int PageCount => 0;

    public override void Added(uint handle, int sizeClass, ulong keyHash) => lists.AddNewest(handle, sizeClass, Segment.Window);

    public override void Used(uint handle, int sizeClass) => lists.MoveToNewest(handle, sizeClass, Segment.Window);

    public override uint ChooseVictim(int sizeClass) => Eldest(sizeClass);

    public override uint Eldest(int sizeClass) => lists.Oldest(sizeClass, Segment.Window);

    public override uint Pushed(int sizeClass) => Eldest(sizeClass);

    public override bool IsWorthLess(uint giver, uint taker) => true;

    public override bool TryResize(int entries) => true;
}
