using System.Buffers;

namespace DistCache.Peers;

/// <summary>
/// How the bytes of values are held and moved while a message is handled.
/// Arrays are rented. Those up to <see cref="LargestShared"/> come from the shared pool. Longer ones are made in the length
/// that is asked for, since the shared pool would double it, and are kept by weak references: a stream of large values uses the same
/// memory again and again, and one that has ended leaves nothing to the next full collection.
/// </summary>
internal static class ValueBytes
{
    public const int LargestShared = 1 << 20;

    /// <summary>A large message under way uses two arrays at a time on either side.</summary>
    private const int Kept = 4;

    /// <summary>A spare array that is longer by more than this factor is left for whoever needs it.</summary>
    private const int LongestFactor = 2;

    /// <summary>Copied in one go; some ten microseconds.</summary>
    private const int SliceBytes = 128 << 10;

    private static readonly Lock Gate = new();
    private static readonly WeakReference<byte[]?>[] Spares = [.. Enumerable.Range(0, Kept).Select(static _ => new WeakReference<byte[]?>(null))];
    private static int _next;

    /// <summary>An array of at least <paramref name="length"/> bytes, with anything in it.</summary>
    public static byte[] Rent(int length) =>
        length <= LargestShared ? ArrayPool<byte>.Shared.Rent(length) : TakeSpare(length) ?? GC.AllocateUninitializedArray<byte>(length);

    /// <summary>Nobody uses the array any more. At most once for each <see cref="Rent"/>; forgetting it costs garbage.</summary>
    public static void Return(byte[] array)
    {
        if (array.Length <= LargestShared)
        {
            ArrayPool<byte>.Shared.Return(array);
            return;
        }

        lock (Gate)
        {
            var place = Array.FindIndex(Spares, static spare => !spare.TryGetTarget(out _));
            Spares[place >= 0 ? place : _next++ % Kept].SetTarget(array);
        }
    }

    /// <summary>
    /// Copies a value, and lets others run on this processor in between: 64 MiB at once would take it for ten milliseconds and more, in
    /// which all that is small waits.
    /// </summary>
    public static void Copy(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        while (source.Length > SliceBytes)
        {
            source[..SliceBytes].CopyTo(destination);
            source = source[SliceBytes..];
            destination = destination[SliceBytes..];
            Thread.Yield();
        }

        source.CopyTo(destination);
    }

    /// <summary>The same into a caller's buffer.</summary>
    public static void Write(ReadOnlySpan<byte> value, IBufferWriter<byte> destination)
    {
        var room = destination.GetSpan(value.Length);
        Copy(value, room);
        destination.Advance(value.Length);
    }

    private static byte[]? TakeSpare(int length)
    {
        lock (Gate)
        {
            WeakReference<byte[]?>? best = null;
            byte[]? array = null;
            foreach (var spare in Spares)
            {
                if (spare.TryGetTarget(out var one) && one.Length >= length && one.Length / LongestFactor <= length
                    && (array is null || one.Length < array.Length))
                {
                    (best, array) = (spare, one);
                }
            }

            best?.SetTarget(null);
            return array;
        }
    }
}
