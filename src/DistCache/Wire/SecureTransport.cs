using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace DistCache.Wire;

/// <summary>
/// TLS between a connection that was accepted and the HTTP/2 server. The server's own sends each block of 4 KiB as a record, each by a call of the
/// system: then a dialler is woken for a few replies at a time, asks again for as few, and nothing travels together any more. Here what is
/// flushed together goes in full records and one call. Of what the server's own offers there is only what a lane needs: see decision 0044.
/// </summary>
internal sealed class SecureTransport : IDuplexPipe
{
    /// <summary>What a record of TLS holds.</summary>
    private const int RecordBytes = 16 << 10;

    private SecureTransport(SslStream stream, PipeWriter connection)
    {
        Input = PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: RecordBytes, leaveOpen: true));
        Output = new GatheringWriter(stream, connection);
    }

    public PipeReader Input { get; }

    public PipeWriter Output { get; }

    /// <summary>Speaks TLS on the connection, and lets it go on if both sides are content.</summary>
    public static async Task ServeAsync(TlsCredentials tls, ConnectionContext connection, ConnectionDelegate next)
    {
        var plain = connection.Transport;
        var stream = new SslStream(new ConnectionStream(plain));
        await using (stream.ConfigureAwait(false))
        {
            if (!await TlsHandshake.AcceptAsync(tls, stream, connection.Features.GetRequiredFeature<Guest>()).ConfigureAwait(false))
            {
                return;
            }

            var spoken = new SpokenTls(stream);
            connection.Features.Set<ITlsConnectionFeature>(spoken);
            connection.Features.Set<ITlsApplicationProtocolFeature>(spoken);
            connection.Transport = new SecureTransport(stream, plain.Output);
            try
            {
                await next(connection).ConfigureAwait(false);
            }
            finally
            {
                connection.Transport = plain;
            }
        }
    }

    /// <summary>By which the server knows that the scheme is https, and that HTTP/2 was agreed on: it refuses anything else.</summary>
    private sealed class SpokenTls(SslStream stream) : ITlsConnectionFeature, ITlsApplicationProtocolFeature
    {
        public X509Certificate2? ClientCertificate { get; set; } = stream.RemoteCertificate as X509Certificate2;

        public ReadOnlyMemory<byte> ApplicationProtocol => stream.NegotiatedApplicationProtocol.Protocol;

        public Task<X509Certificate2?> GetClientCertificateAsync(CancellationToken cancellationToken) => Task.FromResult(ClientCertificate);
    }

    /// <summary>Gathers until it is flushed. The server never writes while a flush is under way.</summary>
    private sealed class GatheringWriter(SslStream stream, PipeWriter connection) : PipeWriter
    {
        private readonly MessageBuffer _gathered = new();

        public override bool CanGetUnflushedBytes => true;

        public override long UnflushedBytes => _gathered.Length;

        public override Memory<byte> GetMemory(int sizeHint = 0) => _gathered.GetMemory(Math.Max(sizeHint, 1));

        public override Span<byte> GetSpan(int sizeHint = 0) => _gathered.GetSpan(Math.Max(sizeHint, 1));

        public override void Advance(int bytes) => _gathered.Advance(bytes);

        public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            if (_gathered.Length > 0)
            {
                try
                {
                    await stream.WriteAsync(_gathered.Written, cancellationToken).ConfigureAwait(false);
                }
                finally
                {
                    // The server goes on after a write that failed; the same must not go twice.
                    _gathered.Clear();
                }
            }

            return await connection.FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        public override void CancelPendingFlush() => connection.CancelPendingFlush();

        /// <summary>The connection below ends when its own is completed. What was gathered is not used again: TLS may be reading it.</summary>
        public override void Complete(Exception? exception = null)
        {
        }
    }

    /// <summary>What TLS reads and writes. What it writes is sent when somebody flushes: the handshake, or <see cref="GatheringWriter"/>.</summary>
    private sealed class ConnectionStream(IDuplexPipe connection) : Stream
    {
        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var result = await connection.Input.ReadAsync(cancellationToken).ConfigureAwait(false);
            if (result.IsCanceled)
            {
                throw new OperationCanceledException("The connection is being closed.");
            }

            // The length in a local: when the reader has moved on, the memory is somebody else's.
            var count = (int)Math.Min(buffer.Length, result.Buffer.Length);
            var read = result.Buffer.Slice(0, count);
            read.CopyTo(buffer.Span);
            connection.Input.AdvanceTo(read.End);
            return count;
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            connection.Output.Write(buffer.Span);
            return default;
        }

        public override async Task FlushAsync(CancellationToken cancellationToken) =>
            await connection.Output.FlushAsync(cancellationToken).ConfigureAwait(false);

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush() => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
