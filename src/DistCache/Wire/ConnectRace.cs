using System.Net;
using System.Net.Sockets;

namespace DistCache.Wire;

/// <summary>
/// Connects by several attempts at once: another one joins whenever <see cref="WireLimits.ConnectInterval"/> has passed without an answer, and the first
/// that is answered decides, by a yes or a no. TCP itself repeats after 1, 3 and 7 seconds, so a link that is whole again is found by a new attempt; a peer that is far
/// away, or a system that repeats what was refused before it says so, as Windows does for 2 seconds, is heard by the first one, which is never given up.
/// </summary>
internal sealed class ConnectRace(Func<IPAddress[], CancellationToken, Task<Socket>> connect, TimeProvider time)
{
    /// <summary>The first one and the newest: those between them hear nothing that these do not.</summary>
    public const int MaximumAttempts = 4;

    /// <param name="addresses">Each attempt asks one after the other, and each attempt begins with the next of them: one may be silent.</param>
    /// <param name="cancellationToken">Ends all attempts.</param>
    /// <exception cref="SocketException">An attempt was refused by all addresses.</exception>
    public async Task<Socket> RunAsync(IPAddress[] addresses, CancellationToken cancellationToken)
    {
        List<Attempt> attempts = [];
        using var pauses = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            while (true)
            {
                attempts.Add(Begin(addresses, cancellationToken));
                if (attempts.Count > MaximumAttempts)
                {
                    _ = GiveUpAsync(attempts[1]);
                    attempts.RemoveAt(1);
                }

                var pause = Task.Delay(WireLimits.ConnectInterval, time, pauses.Token);
                await Task.WhenAny([.. attempts.Select(static attempt => attempt.Socket), pause]).ConfigureAwait(false);
                if (attempts.Find(static attempt => attempt.Socket.IsCompleted) is { } decided)
                {
                    attempts.Remove(decided);
                    decided.Stop.Dispose();
                    return await decided.Socket.ConfigureAwait(false);
                }

                cancellationToken.ThrowIfCancellationRequested();
                addresses = [.. addresses[1..], addresses[0]];
            }
        }
        finally
        {
            await pauses.CancelAsync().ConfigureAwait(false);
            attempts.ForEach(static attempt => _ = GiveUpAsync(attempt));
        }
    }

    /// <summary>An attempt of its own socket: the connection, or an exception with the socket closed.</summary>
    public static async Task<Socket> ConnectAsync(IPAddress[] addresses, int port, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(addresses, port, cancellationToken).ConfigureAwait(false);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private Attempt Begin(IPAddress[] addresses, CancellationToken cancellationToken)
    {
        var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        return new Attempt(connect(addresses, stop.Token), stop);
    }

    /// <summary>It may be answered just now: nobody wants that connection any more.</summary>
    private static async Task GiveUpAsync(Attempt attempt)
    {
        await attempt.Stop.CancelAsync().ConfigureAwait(false);
        await ((Task)attempt.Socket).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        attempt.Stop.Dispose();
        if (attempt.Socket.IsCompletedSuccessfully)
        {
            (await attempt.Socket.ConfigureAwait(false)).Dispose();
        }
    }

    private sealed record Attempt(Task<Socket> Socket, CancellationTokenSource Stop);
}
