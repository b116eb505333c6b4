using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace DistCache.Wire;

/// <summary>
/// A connection to our port, among its features. Until a lane on it has proved who dials it may send
/// <see cref="WireLimits.HandshakeMessageBytes"/> in all, TLS and HTTP/2 included, and stay for <see cref="WireLimits.HandshakeTimeout"/>.
/// </summary>
internal sealed class Guest : IDisposable
{
    /// <summary>From the end of its time, when it is told, to the end of the connection, and from that to the end of patience.</summary>
    private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(1);

    private const string Closed = "The connection was closed before its handshake was complete.";

    private static readonly string TooMany = $"More than {WireLimits.Strangers} connections without a handshake: it had to go for another one.";

    private readonly ConnectionContext _connection;
    private readonly Strangers _strangers;
    private readonly CancellationTokenSource _patience = new();
    private readonly ITimer _timer;
    private volatile bool _isKnown;
    private int _lanes;
    private int _rings;

    public Guest(ConnectionContext connection, Strangers strangers, TimeProvider time)
    {
        _connection = connection;
        Address = AddressOf(connection);
        _strangers = strangers;
        Place = new LinkedListNode<Guest>(this);
        Input = new GuestInput(this, connection.Transport.Input);
        connection.Transport = new GuestTransport(Input, connection.Transport.Output);
        _timer = time.CreateTimer(static state => ((Guest)state!).OnTimer(), this, WireLimits.HandshakeTimeout, Farewell);
        strangers.Add(this);
    }

    /// <summary>What it sends.</summary>
    public PipeReader Input { get; }

    /// <summary>By which strangers are told apart.</summary>
    public IPAddress Address { get; }

    /// <summary>Its own, for <see cref="Strangers"/>.</summary>
    public LinkedListNode<Guest> Place { get; }

    /// <summary>Over when its time is up; not for one that is known.</summary>
    public CancellationToken Patience => _patience.Token;

    /// <summary>A request came over it.</summary>
    public bool HasSpoken { get; set; }

    /// <summary>Why it was turned away before it could ask for anything.</summary>
    public string? Flaw { get; set; }

    public bool IsKnown => _isKnown;

    /// <summary>It has to go for another stranger. Under the lock of <see cref="Strangers"/>, that it is counted there once.</summary>
    public bool IsEvicted { get; set; }

    /// <summary>A connection carries one lane.</summary>
    public bool TryOpenLane() => Interlocked.Exchange(ref _lanes, 1) == 0;

    /// <summary>
    /// The dialler is one of us: no more limits. Said before it is told itself, since it sends requests as soon as it knows.
    /// </summary>
    /// <exception cref="RefusalException">It has to go for another stranger and is being cut off, or is closed already.</exception>
    public void Welcome()
    {
        if (!_strangers.TryWelcome(this))
        {
            throw new RefusalException(GrpcStatus.ResourceExhausted, "limit", IsEvicted ? TooMany : Closed);
        }

        _isKnown = true;
        _timer.Dispose();
    }

    public void Abort(string flaw)
    {
        Flaw ??= flaw;
        _connection.Abort(new ConnectionAbortedException(flaw));
    }

    public void Evict() => Abort(TooMany);

    public void Dispose()
    {
        _timer.Dispose();
        _strangers.Forget(this);
    }

    /// <summary>Of IPv6 the network: whoever has one address there has 2⁶⁴.</summary>
    private static IPAddress AddressOf(ConnectionContext connection)
    {
        if (connection.RemoteEndPoint is not IPEndPoint { Address: var address })
        {
            return IPAddress.None;
        }

        if (address.AddressFamily != AddressFamily.InterNetworkV6 || address.IsIPv4MappedToIPv6)
        {
            return address.MapToIPv4();
        }

        var bytes = address.GetAddressBytes();
        bytes.AsSpan(bytes.Length / 2).Clear();
        return new IPAddress(bytes);
    }

    /// <summary>
    /// First whoever greets ends the stream, so that the dialler hears why; a second later the connection goes with GOAWAY, and another later
    /// without.
    /// </summary>
    private void OnTimer()
    {
        if (_isKnown)
        {
            return;
        }

        switch (HasSpoken ? ++_rings : int.MaxValue)
        {
            case 1:
                _patience.Cancel();
                break;
            case 2:
                _connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
                break;
            default:
                // In this order: who waits for it to end says why.
                Abort($"No lane within {WireLimits.HandshakeTimeout.TotalSeconds} s.");
                _patience.Cancel();
                break;
        }
    }

    private sealed class GuestTransport(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input { get; } = input;

        public PipeWriter Output { get; } = output;
    }

    /// <summary>Counts what comes in while the guest is not known; then it only hands on.</summary>
    private sealed class GuestInput(Guest guest, PipeReader input) : PipeReader
    {
        private ReadOnlySequence<byte> _unread;
        private long _consumedBytes;

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) =>
            guest._isKnown ? input.ReadAsync(cancellationToken) : CountedReadAsync(cancellationToken);

        public override bool TryRead(out ReadResult result)
        {
            var isRead = input.TryRead(out result);
            if (isRead && !guest._isKnown)
            {
                Count(result);
            }

            return isRead;
        }

        public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
        {
            if (!guest._isKnown)
            {
                _consumedBytes += _unread.Slice(_unread.Start, consumed).Length;
            }

            _unread = default;
            input.AdvanceTo(consumed, examined);
        }

        public override void CancelPendingRead() => input.CancelPendingRead();

        public override void Complete(Exception? exception = null) => input.Complete(exception);

        private async ValueTask<ReadResult> CountedReadAsync(CancellationToken cancellationToken)
        {
            var result = await input.ReadAsync(cancellationToken).ConfigureAwait(false);
            Count(result);
            return result;
        }

        private void Count(ReadResult result)
        {
            _unread = result.Buffer;
            if (_consumedBytes + _unread.Length > WireLimits.HandshakeMessageBytes)
            {
                guest.Abort($"More than {WireLimits.HandshakeMessageBytes} bytes before a handshake was complete.");
            }
        }
    }
}
