using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace DistCache.Tests.Wire;

/// <summary>A connection to the port without a socket: it knows where it is from, and whether it was cut off.</summary>
internal sealed class FakeConnection : DefaultConnectionContext
{
    private int _isAborted;

    public FakeConnection(string from)
    {
        RemoteEndPoint = new IPEndPoint(IPAddress.Parse(from), 50_000);
        Transport = new Pipes();
    }

    public bool IsAborted => Volatile.Read(ref _isAborted) != 0;

    public override void Abort(ConnectionAbortedException abortReason) => Volatile.Write(ref _isAborted, 1);

    private sealed class Pipes : IDuplexPipe
    {
        private readonly Pipe _pipe = new();

        public PipeReader Input => _pipe.Reader;

        public PipeWriter Output => _pipe.Writer;
    }
}

/// <summary>Looks at a connection when a test says so.</summary>
internal sealed class FakeHeartbeat : IConnectionHeartbeatFeature
{
    private Action _beat = static () => { };

    public void OnHeartbeat(Action<object> action, object state) => _beat += () => action(state);

    public void Beat() => _beat();
}
