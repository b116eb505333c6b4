using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;

namespace DistCache.Wire;

/// <summary>
/// The listener's side of the handshake: the dialler's Hello, ours, and with a secret the dialler's proof before ours, all within
/// <see cref="WireLimits.HandshakeTimeout"/>.
/// </summary>
internal static class LaneGreeting
{
    private delegate void WriteBody(in MessagePackWriter writer);

    /// <summary>Gives the dialler's Hello once it is accepted.</summary>
    /// <exception cref="RefusalException">It is not.</exception>
    public static async Task<Hello> GreetAsync(WireContext context, HttpContext http, Guest guest, FrameReader reader)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(guest.Patience, http.RequestAborted, context.Closing.Token);
        try
        {
            return await GreetAsync(context, http, guest, reader, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (guest.Patience.IsCancellationRequested)
        {
            throw new RefusalException(
                GrpcStatus.ResourceExhausted, "silent", $"No complete handshake within {WireLimits.HandshakeTimeout.TotalSeconds} s.");
        }
    }

    private static async Task<Hello> GreetAsync(
        WireContext context, HttpContext http, Guest guest, FrameReader reader, CancellationToken cancellationToken)
    {
        var dialler = ControlCodec.ReadHello(await ReadAsync(reader, cancellationToken).ConfigureAwait(false));
        if (context.OwnNonces.Meet(dialler.Nonce))
        {
            throw new RefusalException(GrpcStatus.FailedPrecondition, "self", "The dialler and the listener are one node.");
        }

        context.Check(dialler);
        var own = context.CreateHello(dialler.Lane, RandomNumberGenerator.GetBytes(Hello.NonceBytes));
        http.Response.ContentType = GrpcProtocol.ContentType;
        if (context.Settings.Secret is not { } secret)
        {
            Accept(context, guest, dialler);
            await WriteAsync(http, WriteHello, cancellationToken).ConfigureAwait(false);
            return dialler;
        }

        await WriteAsync(http, WriteHello, cancellationToken).ConfigureAwait(false);
        var proof = ControlCodec.ReadProof(await ReadAsync(reader, cancellationToken).ConfigureAwait(false));
        if (!CryptographicOperations.FixedTimeEquals(proof.Span, Proof.ByDialler(secret, dialler, own)))
        {
            throw new RefusalException(GrpcStatus.Unauthenticated, "secret", "The shared secret is another one (Cluster.SharedSecret).");
        }

        Accept(context, guest, dialler);
        await WriteAsync(
            http,
            (in MessagePackWriter writer) => ControlCodec.WriteProof(writer, context.Clock.Current, Proof.ByListener(secret, dialler, own)),
            cancellationToken).ConfigureAwait(false);
        return dialler;

        void WriteHello(in MessagePackWriter writer) => ControlCodec.Write(writer, own);
    }

    /// <summary>Not before the proof: a stranger must not move this node's clock.</summary>
    private static void Accept(WireContext context, Guest guest, Hello dialler)
    {
        context.MergeClock(dialler.Clock);
        guest.Welcome();
    }

    private static async ValueTask<ReadOnlyMemory<byte>> ReadAsync(FrameReader reader, CancellationToken cancellationToken) =>
        await reader.ReadAsync(cancellationToken).ConfigureAwait(false)
        ?? throw RefusalException.Malformed("The stream ends before the handshake is complete.");

    private static async Task WriteAsync(HttpContext http, WriteBody write, CancellationToken cancellationToken)
    {
        var buffer = new MessageBuffer();
        var start = buffer.BeginMessage();
        write(new MessagePackWriter(buffer));
        buffer.EndMessage(start);
        await http.Response.Body.WriteAsync(buffer.Written, cancellationToken).ConfigureAwait(false);
    }
}
