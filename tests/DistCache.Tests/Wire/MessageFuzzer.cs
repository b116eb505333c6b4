using System.Globalization;
using DistCache.Peers;
using DistCache.Wire;

namespace DistCache.Tests.Wire;

/// <summary>
/// Spoils messages with their structure in view: whole elements are repeated, dropped, swapped, taken from other messages or replaced by ones that
/// lie about their length, besides bytes that are flipped and ends that are cut off. The same seed gives the same messages.
/// </summary>
internal sealed class MessageFuzzer(int seed)
{
    /// <summary>Stands in every key and value, to be looked for where it must not be.</summary>
    public const string Marker = "somebody's";

    /// <summary>Elements that announce more than there is, of types that are not used, or nested deeply.</summary>
    private static readonly byte[][] Lies =
    [
        [0xC6, 0xFF, 0xFF, 0xFF, 0xFF], [0xDB, 0xFF, 0xFF, 0xFF, 0xFF], [0xDD, 0xFF, 0xFF, 0xFF, 0xFF], [0xDF, 0xFF, 0xFF, 0xFF, 0xFF],
        [0xC9, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], [0xC5, 0xFF, 0xFF], [0xDA, 0xFF, 0xFF], [0xDC, 0xFF, 0xFF], [0xC4, 0xFF], [0xD9, 0xFF],
        [0xCF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0xD3, 0x80, 0, 0, 0, 0, 0, 0, 0], [0xCE, 0xFF, 0xFF, 0xFF, 0xFF], [0xFF], [0xC1],
        [0xC0], [0xC3], [0xCB, 0x7F, 0xF0, 0, 0, 0, 0, 0, 0], [0xA2, 0xC3, 0x28], [0x90], [0x80], [0xD4, 0x00, 0x00], [.. Enumerable.Repeat((byte)0x91, 5_000)],
        [.. Enumerable.Repeat((byte)0xDF, 500)],
    ];

    private readonly Random _random = new(seed);

    public int Seed { get; } = seed;

    /// <summary>How many inputs a test tries: few unless DISTCACHE_FUZZ_INPUTS says more.</summary>
    public static int Inputs(int usual) =>
        int.TryParse(Environment.GetEnvironmentVariable("DISTCACHE_FUZZ_INPUTS"), CultureInfo.InvariantCulture, out var inputs) ? inputs : usual;

    /// <summary>From DISTCACHE_SEED, to repeat a failure; else another one each time.</summary>
    public static int NewSeed() =>
        int.TryParse(Environment.GetEnvironmentVariable("DISTCACHE_SEED"), CultureInfo.InvariantCulture, out var seed) ? seed : Random.Shared.Next();

    public int Next(int exclusive) => _random.Next(exclusive);

    public T Pick<T>(IReadOnlyList<T> list) => list[_random.Next(list.Count)];

    /// <summary>A message like one of <paramref name="samples"/>, with one to four things wrong.</summary>
    public byte[] Spoil(IReadOnlyList<byte[]> samples)
    {
        var message = Pick(samples);
        for (var changes = _random.Next(2) == 0 ? 1 : _random.Next(1, 5); changes > 0; changes--)
        {
            message = SpoilOnce(message, samples);
        }

        return message;
    }

    private byte[] SpoilOnce(byte[] message, IReadOnlyList<byte[]> samples)
    {
        if (message.Length == 0)
        {
            return Pick(Lies);
        }

        var elements = Elements(message);
        var one = Pick(elements);
        var other = Pick(elements);
        switch (_random.Next(10))
        {
            case 0:
                return [.. message[.._random.Next(message.Length)]];
            case 1:
                return Replace(message, one, [.. message[one], .. message[one]]);
            case 2:
                return Replace(message, one, []);
            case 3:
                return Replace(message, one, message[other]);
            case 4:
                return Replace(message, one, Pick(Lies));
            case 5:
                var sample = Pick(samples);
                return Replace(message, one, sample[Pick(Elements(sample))]);
            case 6:
                var from = _random.Next(message.Length);
                return [.. message[..from], .. message[_random.Next(from + 1)..]];
            case 7:
                return [.. message, .. Pick(Lies)];
            default:
                var flipped = (byte[])message.Clone();
                flipped[_random.Next(2) == 0 ? one.Start.Value : _random.Next(message.Length)] ^= (byte)(1 << _random.Next(8));
                return flipped;
        }
    }

    private static byte[] Replace(byte[] message, Range range, byte[] by) => [.. message[..range.Start], .. by, .. message[range.End..]];

    /// <summary>Where elements lie, as far as the message can be read; the message itself is the first.</summary>
    private static List<Range> Elements(byte[] message)
    {
        List<Range> elements = [Range.EndAt(message.Length)];
        for (var start = 0; start < message.Length && elements.Count < 200;)
        {
            var reader = new MessagePackReader(message.AsMemory(start));
            var code = message[start];
            try
            {
                reader.Skip(1);
                var end = message.Length - reader.Remaining;
                elements.Add(start..end);

                // Into an array, and past anything else.
                start = code is >= 0x90 and <= 0x9F ? start + 1 : code == 0xDC ? start + 3 : end;
            }
            catch (RefusalException)
            {
                break;
            }
        }

        return elements;
    }

    public static byte[] Encode(PeerRequest request, uint id = 1)
    {
        var buffer = new MessageBuffer();
        MessageCodec.Encode(buffer, id, 1, request);
        return buffer.Written.ToArray();
    }

    public static byte[] Encode(PeerReply reply)
    {
        var buffer = new MessageBuffer();
        MessageCodec.Encode(buffer, 1, 1, reply);
        return buffer.Written.ToArray();
    }

    /// <summary>One of each request that is not long, with the marker in its key.</summary>
    public static List<byte[]> Requests() =>
    [
        .. SampleMessages.Requests().Select(request => Encode(request)).Where(message => message.Length < 5_000),
        Encode(TestNode.Read($"{Marker} key")),
        Encode(new WriteRequest(
            SampleMessages.Bytes($"{Marker} key"), false, SampleMessages.Version, SampleMessages.Remaining, SampleMessages.Bytes($"{Marker} value"), WriteAck.All, 7, false)),
    ];
}
