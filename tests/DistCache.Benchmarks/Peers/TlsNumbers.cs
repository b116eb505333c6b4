using System.Buffers;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace DistCache.Benchmarks.Peers;

/// <summary>Gets of 1 KiB from another process with mutual TLS and without, in turns, several rounds: what encryption costs.</summary>
internal static class TlsNumbers
{
    private const int ValueBytes = 1_024;

    public static async Task RunAsync(Arguments arguments)
    {
        var rounds = arguments.Number("rounds", 3);
        var time = TimeSpan.FromSeconds(arguments.Number("seconds", 3));
        var callerCounts = arguments.Text("callers", "1,32,256").Split(',').Select(text => int.Parse(text, CultureInfo.InvariantCulture)).ToArray();
        var folder = Directory.CreateTempSubdirectory("distcache-tls-").FullName;
        try
        {
            using var plain = await Pair.StartAsync("");
            using var secure = await Pair.StartAsync(WriteCertificate(folder));
            for (var round = 1; round <= rounds; round++)
            {
                Console.WriteLine($"round {round}");
                foreach (var callers in callerCounts)
                {
                    var without = await plain.GetAsync(callers, time);
                    var with = await secure.GetAsync(callers, time);
                    Console.WriteLine(
                        $"  {callers,3} callers   plain {without.PerSecond,10:N0} gets/s  p50 {without.P50,7:N1} µs   TLS {with.PerSecond,10:N0} gets/s  p50 {with.P50,7:N1} µs   TLS costs {1 - (with.PerSecond / without.PerSecond),6:P1}");
                }
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>One that signed itself is its own authority.</summary>
    private static string WriteCertificate(string folder)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=benchmark", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        var path = Path.Combine(folder, "node.pem");
        File.WriteAllText(path, certificate.ExportCertificatePem() + "\n" + key.ExportPkcs8PrivateKeyPem());
        return path;
    }

    /// <summary>A node here and one in another process, which owns the keys.</summary>
    private sealed class Pair(BenchmarkNode node, OtherNode other, string[] keys) : IDisposable
    {
        public static async Task<Pair> StartAsync(string tls)
        {
            var ports = BenchmarkNode.FreePorts(2);
            var other = BenchmarkNode.StartProcess(1, ports, replicas: 0, WriteAck.Majority, tls);
            var node = await BenchmarkNode.StartAsync(0, ports, replicas: 0, WriteAck.Majority, tls);
            await node.WaitForOwnersAsync(2);
            return new Pair(node, other, await GetNumbers.FillAsync(node));
        }

        public Task<CallersResult> GetAsync(int callers, TimeSpan time)
        {
            var buffers = Enumerable.Range(0, callers).Select(_ => new ArrayBufferWriter<byte>(ValueBytes)).ToArray();
            return Callers.RunAsync(callers, time, (caller, i) =>
            {
                buffers[caller].ResetWrittenCount();
                return node.Cache.TryGetAsync(keys[((caller * 7_919) + i) % keys.Length], buffers[caller]);
            });
        }

        public void Dispose()
        {
            node.Dispose();
            other.Dispose();
        }
    }
}
