using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace DistCache.Benchmarks.Peers;

/// <summary>A real redis-server from the system's packages, its own benchmark, and a plain client on a socket.</summary>
internal sealed partial class RedisSide : IDisposable
{
    private readonly Process _server;
    private readonly int _port;

    private RedisSide(Process server, int port)
    {
        _server = server;
        _port = port;
    }

    /// <summary>Null where there is none on this machine.</summary>
    public static RedisSide? TryStart()
    {
        var port = BenchmarkNode.FreePorts(1)[0];
        try
        {
            var server = Process.Start(new ProcessStartInfo("redis-server", $"--port {port} --bind 127.0.0.1 --save \"\" --appendonly no")
            {
                RedirectStandardOutput = true,
            })!;
            server.OutputDataReceived += static (_, _) => { };
            server.BeginOutputReadLine();
            for (var i = 0; i < 100; i++)
            {
                try
                {
                    using var probe = new TcpClient("127.0.0.1", port);
                    return new RedisSide(server, port);
                }
                catch (SocketException)
                {
                    Thread.Sleep(50);
                }
            }

            server.Kill();
            return null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }

    /// <summary>Gets a second, by <c>redis-benchmark -t get -d 1024</c>.</summary>
    public double Benchmark(int clients, int requests)
    {
        using var process = Process.Start(new ProcessStartInfo(
            "redis-benchmark", $"-p {_port} -c {clients} -n {requests} -d 1024 -r 10000 -t set,get -q")
        {
            RedirectStandardOutput = true,
        })!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        var match = GetLine().Matches(output).LastOrDefault() ?? throw new InvalidOperationException($"redis-benchmark said: {output}");
        return double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture);
    }

    /// <summary>The median time of a get of 1 KiB by one caller with its own socket, in microseconds.</summary>
    public double PlainClientP50(int requests)
    {
        using var client = new TcpClient("127.0.0.1", _port) { NoDelay = true };
        var socket = client.Client;
        var value = new string('v', 1_024);
        Exchange(socket, Encoding.ASCII.GetBytes($"*3\r\n$3\r\nSET\r\n$5\r\nplain\r\n$1024\r\n{value}\r\n"), "+OK\r\n".Length);
        var get = "*2\r\n$3\r\nGET\r\n$5\r\nplain\r\n"u8.ToArray();
        var length = "$1024\r\n".Length + 1_024 + 2;
        var times = new long[requests];
        for (var i = 0; i < requests; i++)
        {
            var start = Stopwatch.GetTimestamp();
            Exchange(socket, get, length);
            times[i] = Stopwatch.GetTimestamp() - start;
        }

        Array.Sort(times);
        return times[requests / 2] * 1e6 / Stopwatch.Frequency;
    }

    public void Dispose()
    {
        _server.Kill();
        _server.Dispose();
    }

    private static void Exchange(Socket socket, byte[] request, int replyLength)
    {
        Span<byte> reply = stackalloc byte[2_048];
        socket.Send(request);
        for (var received = 0; received < replyLength;)
        {
            var count = socket.Receive(reply);
            if (count == 0)
            {
                throw new InvalidOperationException("redis-server closed the connection.");
            }

            received += count;
        }
    }

    [GeneratedRegex(@"GET: ([0-9.]+) requests per second")]
    private static partial Regex GetLine();
}
