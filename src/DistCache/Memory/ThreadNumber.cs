using System.Runtime.CompilerServices;

namespace DistCache.Memory;

/// <summary>
/// A small number for the thread that asks, always the same: so that what threads write to all the time can be kept apart. The first
/// <see cref="OwnCount"/> threads that live at once have a number each that no other thread has, and so need no interlocked writes; all
/// others share <see cref="SharedCount"/>. A thread's number is free again when the thread has ended and was collected.
/// </summary>
internal sealed class ThreadNumber
{
    private const int LeastOwnCount = 8;
    private const int LargestOwnCount = 32;
    private const int LargestSharedCount = 16;

    /// <summary>Numbers from 0 on that one thread has at a time.</summary>
    public static readonly int OwnCount = Math.Clamp(Environment.ProcessorCount * 4, LeastOwnCount, LargestOwnCount);

    /// <summary>Numbers from <see cref="OwnCount"/> on that any number of threads have.</summary>
    public static readonly int SharedCount = Math.Min(Environment.ProcessorCount, LargestSharedCount);

    private static readonly Lock Guard = new();
    private static readonly Stack<int> Free = new(Enumerable.Range(0, OwnCount).Reverse());
    private static int _sharers;
    private static volatile int _usedCount;

    /// <summary>The thread's number, + 1; 0 before it has one.</summary>
    [ThreadStatic]
    private static int _current;

    /// <summary>Ends with the thread.</summary>
    [ThreadStatic]
    private static ThreadNumber? _holder;

    private readonly int _number;

    private ThreadNumber(int number) => _number = number;

    /// <summary>Nobody refers to it but its thread, so that is over.</summary>
    ~ThreadNumber()
    {
        if (!IsShared(_number))
        {
            lock (Guard)
            {
                Free.Push(_number);
            }
        }
    }

    public static int Count => OwnCount + SharedCount;

    /// <summary>No thread has, or ever had, this number or a higher one.</summary>
    public static int UsedCount => _usedCount;

    public static int Current => _current is not 0 and var current ? current - 1 : Assign();

    public static bool IsShared(int number) => number >= OwnCount;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Assign()
    {
        lock (Guard)
        {
            if (!Free.TryPop(out var number))
            {
                number = OwnCount + (_sharers++ % SharedCount);
            }

            _usedCount = Math.Max(_usedCount, number + 1);
            _holder = new ThreadNumber(number);
            _current = number + 1;
            return number;
        }
    }
}
