using System.Buffers;
using DistCache.Entries;
using DistCache.Memory;

namespace DistCache.Tests.Memory;

/// <summary>
/// Random operations on a tier and on a plain dictionary. The tier may forget what does not fit, and counts it; what it gives must be
/// what the dictionary has, its counts must add up, and all its parts must agree.
/// </summary>
internal sealed class MemoryTierModelTests
{
    private const int OperationsBetweenChecks = 4_000;

    private static IEnumerable<TestCaseData> Cases()
    {
        foreach (var eviction in new[] { Eviction.Lru, Eviction.Lfu })
        {
            yield return new TestCaseData(eviction, 512L << 10, 1, 400_000, 3_000, 0);
            yield return new TestCaseData(eviction, 1L << 20, 2, 400_000, 8_000, 0);
            yield return new TestCaseData(eviction, 4L << 20, 4, 400_000, 20_000, 0);
            yield return new TestCaseData(eviction, 70L << 20, 2, 60_000, 30_000, 0);
        }

        // As on Apple's processors, and on some ARM servers.
        yield return new TestCaseData(Eviction.Lru, 512L << 10, 1, 100_000, 3_000, 16 << 10);
        yield return new TestCaseData(Eviction.Lfu, 2L << 20, 1, 100_000, 8_000, 64 << 10);
    }

    [TestCaseSource(nameof(Cases))]
    public void RandomOperations_AgreeWithADictionary(Eviction eviction, long budget, int shards, int operations, int keys, int granuleBytes)
    {
        var seed = RandomRun.Seed();
        using var run = new ModelRun(seed, eviction, budget, shards, keys, granuleBytes);
        for (var i = 0L; i < (long)operations * RandomRun.Rounds; i++)
        {
            run.Step();
            if (i % OperationsBetweenChecks == OperationsBetweenChecks - 1)
            {
                run.Check();
            }
        }

        run.Check();
        TestContext.Out.WriteLine(run.Statistics);
        run.CheckByVisit();
        run.ClearAndCheck();
    }

    private sealed class ModelRun : IDisposable
    {
        private readonly ManualTime _time = new();
        private readonly Random _random;
        private readonly MemoryTier _tier;
        private readonly Dictionary<string, Entry> _model = [];
        private readonly int[] _sizes;
        private readonly byte[] _bytes = new byte[4 << 20];
        private readonly byte[] _destination = new byte[4 << 20];
        private readonly long _budget;
        private readonly int _keys;
        private ulong _clock;
        private long _inserted;
        private long _removed;
        private int _sizeBias;

        public ModelRun(int seed, Eviction eviction, long budget, int shards, int keys, int granuleBytes)
        {
            _random = new Random(seed);
            _random.NextBytes(_bytes);
            (_budget, _keys) = (budget, keys);
            _tier = new MemoryTier(budget, eviction, _time, null, new TierTuning(shards, 0, (ulong)seed, granuleBytes));
            var classes = new SizeClasses(new PageGeometry(budget, granuleBytes).PageBytes, unitBytes: 8);
            _sizes = [.. Enumerable.Range(0, classes.Count).Select(classes.ChunkBytes)];
        }

        public MemoryStatistics Statistics => _tier.Statistics;

        public void Step()
        {
            var key = $"{_random.Next(_keys)}{(_random.Next(50) == 0 ? new string('k', _random.Next(4_000)) : "")}";
            switch (_random.Next(100))
            {
                case < 45:
                    Put(key);
                    break;
                case < 80:
                    Read(key);
                    break;
                case < 86:
                    Forget(key);
                    break;
                case < 92:
                    Renew(key);
                    break;
                case < 93:
                    _time.Advance(TimeSpan.FromMilliseconds(_random.Next(400)));
                    break;
                case < 94 when _random.Next(200) == 0:
                    _time.Advance(TimeSpan.FromSeconds(_random.Next(20)));
                    break;
                case < 95:
                    // From time to time all sizes become others, so that pages must move between classes.
                    _sizeBias = _random.Next(300) == 0 ? _random.Next(4) : _sizeBias;
                    break;
                default:
                    break;
            }
        }

        public void Check()
        {
            TierCheck.Verify(_tier.Memory!);
            var statistics = _tier.Statistics;
            Assert.That(statistics.Bytes, Is.LessThanOrEqualTo(_budget));
            Assert.That(statistics.TombstoneBytes, Is.LessThanOrEqualTo(_budget / 10));
            var gone = statistics.EvictedForSize + statistics.Expired + statistics.TombstonesDropped + _removed;
            Assert.That(statistics.Entries, Is.EqualTo(_inserted - gone));
        }

        public void CheckByVisit()
        {
            var visitor = new Comparer(this);
            var cursor = default(TierCursor);
            while (!_tier.Visit(SlotSet.All(), ref cursor, visitor))
            {
                visitor.Room = 10;
            }

            _tier.Sweep();
            Assert.That(visitor.Seen, Has.Count.EqualTo(_tier.Statistics.Entries));
        }

        public void ClearAndCheck()
        {
            _tier.Clear();
            TierCheck.Verify(_tier.Memory!);
            Assert.That(_tier.Statistics.Entries, Is.Zero);
            Assert.That(_tier.Statistics.Bytes, Is.LessThan(5 << 20), "memory goes back when the tier empties");
        }

        public void Dispose() => _tier.Dispose();

        private long Now => _time.Milliseconds();

        private void Put(string key)
        {
            var length = RandomLength(key.Length);
            var value = _bytes.AsMemory(_random.Next(_bytes.Length - length), length);
            var tombstone = _random.Next(12) == 0;
            var expiration = new Expiration(
                _random.Next(3) == 0 ? Now + _random.Next(20_000) : Expiration.Never, _random.Next(4) == 0 ? _random.Next(1, 5_000) : 0);
            var flags = tombstone ? EntryFlags.Tombstone : EntryFlags.None;
            var version = new EntryVersion(_random.Next(10) == 0 ? _clock - (ulong)_random.Next(200) : ++_clock + 1_000, (uint)_random.Next());
            var info = new EntryInfo(version, expiration, expiration.Window > 0 ? Now : 0, flags);
            var entry = new Entry(info, tombstone ? default : value);

            var outcome = _tier.Read(Utf8(key), _destination, false, out var heldInfo, out _);
            var isHeld = outcome != LookupOutcome.Miss;
            var result = _tier.Apply(Utf8(key), info, new ReadOnlySequence<byte>(entry.Value), out var held);
            if (isHeld && heldInfo.Version >= version)
            {
                Assert.That((result, held), Is.EqualTo((heldInfo.Version == version ? ApplyOutcome.Applied : ApplyOutcome.Older, heldInfo.Version)));
                return;
            }

            if (result == ApplyOutcome.TooLarge)
            {
                var bytes = EntryHeader.Bytes + StoredExpiration.BytesOf(info.Expiration) + Utf8(key).Length + entry.Value.Length;
                Assert.That(bytes, Is.GreaterThan(_tier.Memory!.MaximumEntryBytes).And.GreaterThan(_budget / 4));
                Assert.That(held, Is.EqualTo(isHeld ? heldInfo.Version : default));
                return;
            }

            Assert.That((result, held), Is.EqualTo((ApplyOutcome.Applied, version)));
            _model[key] = entry;
            _inserted += isHeld ? 0 : 1;
            Assert.That(_tier.Statistics.Bytes, Is.LessThanOrEqualTo(_budget));
            // The old entry, expired by nobody yet or held, was replaced; or evicted to make room and replaced by a new one.
            AccountReplacement(isHeld);
        }

        /// <summary>An entry that is replaced may have been evicted a moment before, by the room that its successor took.</summary>
        private void AccountReplacement(bool wasHeld)
        {
            if (wasHeld)
            {
                var statistics = _tier.Statistics;
                var gone = statistics.EvictedForSize + statistics.Expired + statistics.TombstonesDropped + _removed;
                var surplus = statistics.Entries - (_inserted - gone);
                Assert.That(surplus, Is.InRange(0, 1));
                _inserted += surplus;
            }
        }

        private void Read(string key)
        {
            var renew = _random.Next(3) > 0;
            var outcome = _tier.Read(Utf8(key), _destination, renew, out var info, out var length);
            if (outcome == LookupOutcome.Miss)
            {
                _model.Remove(key);
                return;
            }

            var entry = _model[key];
            if (renew && !entry.Info.IsTombstone && entry.Info.Expiration.Window > 0)
            {
                _model[key] = entry with { Info = entry.Info with { LastAccess = Math.Max(entry.Info.LastAccess, Now) } };
            }

            // What is told is the entry as it was before this use.
            Assert.That(info, Is.EqualTo(entry.Info));
            Assert.That(info.DueAt, Is.GreaterThan(Now));
            Assert.That(outcome, Is.EqualTo(entry.Info.IsTombstone ? LookupOutcome.Tombstone : LookupOutcome.Hit));
            Assert.That(_destination.AsSpan(0, length).SequenceEqual(entry.Value.Span), "the value is another one");
        }

        private void Forget(string key)
        {
            if (_model.TryGetValue(key, out var entry) && _tier.Forget(Utf8(key), entry.Info.Version))
            {
                _removed++;
                _model.Remove(key);
            }
        }

        private void Renew(string key)
        {
            if (_model.TryGetValue(key, out var entry) && _tier.Renew(Utf8(key), entry.Info.Version, Now + 5) && entry.Info.Expiration.Window > 0)
            {
                _model[key] = entry with { Info = entry.Info with { LastAccess = Math.Max(entry.Info.LastAccess, Now + 5) } };
            }
        }

        /// <summary>Around a class boundary, or anything small, or now and then something large.</summary>
        private int RandomLength(int keyLength)
        {
            if (_random.Next(400) == 0)
            {
                return _random.Next((int)Math.Min(_budget + 1_000, _bytes.Length));
            }

            if (_random.Next(40) == 0)
            {
                return _random.Next(3 * _sizes[^1]);
            }

            var count = _sizes.Length / 4;
            var size = _sizes[(_sizeBias * count / 2) + _random.Next(count)];
            return Math.Max(0, size - EntryHeader.Bytes - keyLength + _random.Next(-1, 2));
        }

        private static byte[] Utf8(string key) => TierFace.Key(key);

        private sealed class Comparer(ModelRun run) : IEntryVisitor
        {
            public HashSet<string> Seen { get; } = [];

            public int Room { get; set; } = 10;

            public bool Visit(ReadOnlySpan<byte> key, in EntryInfo info, StoredValue value)
            {
                if (Room-- == 0)
                {
                    return false;
                }

                var text = System.Text.Encoding.UTF8.GetString(key);
                Assert.That(Seen.Add(text), "an entry was shown twice");
                Assert.That(info, Is.EqualTo(run._model[text].Info));
                Assert.That(value.ToArray(), Is.EqualTo(run._model[text].Value.ToArray()));
                return true;
            }
        }
    }

    private sealed record Entry(EntryInfo Info, ReadOnlyMemory<byte> Value);
}
