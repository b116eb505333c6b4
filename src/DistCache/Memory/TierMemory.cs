using System.Numerics;
using DistCache.Entries;

namespace DistCache.Memory;

/// <summary>What a test or a simulation may set; production leaves all of it alone.</summary>
/// <param name="Shards">A power of two up to 64; 0 chooses.</param>
/// <param name="EntryLimit">Holds at most so many entries, as if they were the budget; 0 for no limit.</param>
/// <param name="HashSeed">Makes the hash of keys repeat; null draws a secret.</param>
/// <param name="GranuleBytes">What memory is committed in, if coarser than the system does; 0 for that.</param>
internal readonly record struct TierTuning(int Shards = 0, int EntryLimit = 0, ulong? HashSeed = null, int GranuleBytes = 0);

/// <summary>What the shards of one tier share. Made at the first write.</summary>
internal sealed class TierMemory : IDisposable
{
    /// <summary>Tombstones take at most this part, 1 / n, of the budget.</summary>
    public const int TombstoneShare = 10;

    private const int BaseBuckets = 64;
    private const int LargestShardCount = 64;

    /// <summary>A smaller share of the budget is not worth a lock of its own: each size class in use takes a page of each shard.</summary>
    private const long SmallestShare = 32 << 20;

    /// <summary>An estimate of a shard's objects on the managed heap: four list ends and two numbers a class, and itself.</summary>
    private const int ShardBytes = 8 << 10;

    /// <summary>For the objects of the tier besides.</summary>
    private const int TierBytes = 8 << 10;

    /// <summary>A tombstone that all owners hold outlives copies that are still on their way, and no more: ms.</summary>
    public const long ConfirmedTombstoneLifetime = 60_000;

    /// <summary>Clocks are kept in steps of 2^26, about a second: so a watermark of four bytes a slot reaches to the year 2109.</summary>
    private const int ConfirmedShift = 26;

    /// <summary>A sweeper that comes so late, ms, shows that the process stood still.</summary>
    private static readonly long LateSweeper = 2 * (long)MemoryTier.SweepInterval.TotalMilliseconds;

    private readonly uint[] _confirmed;
    private int _entryCount;
    private long _ranAt;
    private long _tombstonesStayUntil;

    public TierMemory(long sizeLimit, Eviction eviction, TierTuning tuning, long tombstoneLifetime, long now)
    {
        _ranAt = now;
        SizeLimit = sizeLimit;
        TombstoneLifetime = tombstoneLifetime;
        _confirmed = new uint[tombstoneLifetime > 0 ? Slot.Count : 0];
        EntryLimit = tuning.EntryLimit == 0 ? int.MaxValue : tuning.EntryLimit;
        var geometry = new PageGeometry(sizeLimit, tuning.GranuleBytes);
        var shardCount = tuning.Shards > 0 ? tuning.Shards : ShardsFor(sizeLimit);
        ShardCount = shardCount;
        // A granule more: the infos of the first region need not begin at one, and then take one more than is charged with each region.
        FixedBytes = TierBytes
            + geometry.GranuleBytes
            + (Slot.Count * (sizeof(int) + sizeof(long)))
            + (_confirmed.Length * sizeof(uint))
            + (shardCount * (ShardBytes + UseNotes.Bytes));
        Pool = new PagePool(new PageMemory(geometry), sizeLimit, FixedBytes);
        Classes = new SizeClasses(geometry.PageBytes, geometry.UnitBytes);
        Hash = new KeyHash(tuning.HashSeed);
        Climber = new WindowClimber(shardCount);
        // After everything else was given up: the infos of all regions, and an index page and its overflow for one entry.
        MaximumEntryBytes = sizeLimit - FixedBytes - ((long)geometry.MaximumRegions * geometry.RegionInfoBytes) - (2 * geometry.PageBytes);
        Shards = new Shard[shardCount];
        for (var i = 0; i < shardCount; i++)
        {
            // Evenly on the logarithmic scale: so their doublings are spread evenly too.
            var baseBuckets = (int)(BaseBuckets * Math.Pow(2, (double)i / shardCount));
            Shards[i] = new Shard(this, i, baseBuckets, eviction);
        }
    }

    public long SizeLimit { get; }

    public int EntryLimit { get; }

    /// <summary>Entries of all shards, kept only under an entry limit.</summary>
    public int EntryCount => _entryCount;

    public void CountEntries(int change)
    {
        if (EntryLimit != int.MaxValue)
        {
            Interlocked.Add(ref _entryCount, change);
        }
    }

    /// <summary>What counts towards the budget from the start.</summary>
    public long FixedBytes { get; }

    /// <summary>Header, key and value of the largest entry that fits if everything else goes.</summary>
    public long MaximumEntryBytes { get; }

    public PagePool Pool { get; }

    public SizeClasses Classes { get; }

    public KeyHash Hash { get; }

    public WindowClimber Climber { get; }

    public Shard[] Shards { get; }

    public int ShardCount { get; }

    /// <summary>A shard that holds less than this, three quarters of the mean, takes from the others when the budget is used up.</summary>
    public long FairBytes => (Pool.ChargedBytes - FixedBytes) / ShardCount * 3 / 4;

    /// <summary>Entries by slot, over all shards; changed with <see cref="Interlocked"/>.</summary>
    public int[] SlotCounts { get; } = new int[Slot.Count];

    /// <summary>By slot, the sum of <see cref="EntryDigest"/> over its entries; changed with <see cref="Interlocked"/>.</summary>
    public long[] SlotDigests { get; } = new long[Slot.Count];

    /// <summary>How long an entry that goes before all owners are known to hold it is remembered, ms; 0 where nobody else could hold it.</summary>
    public long TombstoneLifetime { get; }

    /// <summary>
    /// No tombstone goes before this. While a process stands still no other one can hear of a removal from it: so after a standstill those that
    /// were there are kept for as long as if they had just come.
    /// </summary>
    public long TombstonesStayUntil => Volatile.Read(ref _tombstonesStayUntil);

    /// <summary>The process may have stood still until now. Asked before anybody looks when a tombstone goes, since that may be before the first sweep.</summary>
    public void NoticeStandstill(long now)
    {
        if (now - Volatile.Read(ref _ranAt) >= LateSweeper)
        {
            // In this order: who finds that it runs again finds how long they stay, too.
            Volatile.Write(ref _tombstonesStayUntil, now + TombstoneLifetime);
            Volatile.Write(ref _ranAt, now);
        }
    }

    /// <summary>The sweeper's timer has its turn.</summary>
    public void NoteThatItRuns(long now)
    {
        NoticeStandstill(now);
        if (TombstonesStayUntil > now + TombstoneLifetime)
        {
            // The clock was ahead when that was noticed, and is set back.
            Volatile.Write(ref _tombstonesStayUntil, now + TombstoneLifetime);
        }

        Volatile.Write(ref _ranAt, now);
    }

    /// <summary>All owners of the slot hold what is held here of versions below this clock; taken back only by <see cref="ForgetConfirmations"/>.</summary>
    public void Confirm(Slot slot, ulong clock)
    {
        var step = (uint)(clock >> ConfirmedShift);
        if (_confirmed.Length > 0 && step > _confirmed[slot.Number])
        {
            Volatile.Write(ref _confirmed[slot.Number], step);
        }
    }

    /// <summary>What is held from now on is not known to be held by anybody else.</summary>
    public void ForgetConfirmations() => Array.Clear(_confirmed);

    public bool IsConfirmed(Slot slot, ulong clock) => _confirmed.Length == 0 || clock >> ConfirmedShift < Volatile.Read(ref _confirmed[slot.Number]);

    public Shard ShardOf(ulong keyHash) => Shards[HashBits.Shard(keyHash, Shards.Length)];

    public void Dispose()
    {
        foreach (var shard in Shards)
        {
            shard.Close();
        }

        Pool.Dispose();
    }

    /// <summary>Until <see cref="LetGo"/> the memory stays mapped, also if the tier is disposed.</summary>
    public void Hold() => ObjectDisposedException.ThrowIf(!TryHold(), typeof(MemoryTier));

    public bool TryHold() => Pool.Memory.Handle.TryPin();

    public void LetGo() => Pool.Memory.Handle.Unpin();

    /// <summary>A glance without a lock: whoever believes it looks again under the shard's.</summary>
    public bool MayBeDue(int page, long until, out int shard)
    {
        ref var info = ref Pool.Memory.Info(page);
        shard = info.Shard;
        return info.State is PageState.Slab or PageState.LargeHead && info.EarliestDue <= until;
    }

    private static int ShardsFor(long sizeLimit)
    {
        var byCores = (int)BitOperations.RoundUpToPowerOf2((uint)Environment.ProcessorCount * 2);
        var byBudget = 1 << BitOperations.Log2((ulong)Math.Max(1, sizeLimit / SmallestShare));
        return Math.Min(Math.Min(byCores, byBudget), LargestShardCount);
    }
}
