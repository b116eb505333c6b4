using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace DistCache.Tests.Wire;

/// <summary>
/// Witnesses that are not ours: scripts in tests/grpc-js, written with <c>@grpc/grpc-js</c>, <c>@msgpack/msgpack</c> and docs/wire-protocol.md in hand.
/// Their packages come with <c>npm ci</c> there.
/// </summary>
internal sealed class GrpcJsTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Test]
    public async Task Node_AskedForItsHealth_IsServing()
    {
        await using var node = await TestNode.StartAsync("node");
        using var script = Script.Start("health-check.mjs", $"{node.Address}");

        await script.AssertSucceedsAsync();
    }

    [Test]
    public async Task Node_MetByAPeerInAnotherLanguage_DoesWhatThePageSays()
    {
        const string Secret = "a secret of more than 16 characters";
        using var script = Script.Start("witness.mjs", Secret);
        var listening = await script.ReadLineAsync();
        Assert.That(listening, Does.StartWith("listening "), "it said something else");
        var address = $"127.0.0.1:{FreePort()}";
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.ClearProviders();
        builder.Services.AddDistCache(options =>
        {
            options.Cluster.Name = "witness";
            options.Cluster.SharedSecret = Secret;
            options.Cluster.Listen = address;
            options.Cluster.Seeds.Add(listening["listening ".Length..]);
            options.Cluster.Profile = ClusterProfile.Fast;
            options.Cluster.JoinTimeout = TimeSpan.FromSeconds(1);
            options.Memory.SizeLimit = 32 << 20;
        });
        using var host = builder.Build();
        await host.StartAsync();

        await script.WriteLineAsync(address);
        await script.AssertSucceedsAsync();

        using var limit = new CancellationTokenSource(Patience);
        await host.StopAsync(limit.Token);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>A script that runs; ended with the test.</summary>
    private sealed class Script : IDisposable
    {
        private readonly Process _process;
        private readonly Task<string> _errors;
        private readonly CancellationTokenSource _patience = new(Patience);

        private Script(Process process)
        {
            _process = process;
            _errors = process.StandardError.ReadToEndAsync(_patience.Token);
        }

        public static Script Start(string name, params string[] arguments)
        {
            var folder = Folder();
            if (!Directory.Exists(Path.Combine(folder, "node_modules", "@msgpack")))
            {
                Assert.Ignore("The packages of tests/grpc-js are not installed: run `npm ci --ignore-scripts` there.");
            }

            try
            {
                var start = new ProcessStartInfo("node", [Path.Combine(folder, name), .. arguments])
                {
                    RedirectStandardInput = true,
                    RedirectStandardOutput = true,
                    RedirectStandardError = true,
                };
                return new Script(Process.Start(start)!);
            }
            catch (System.ComponentModel.Win32Exception)
            {
                Assert.Ignore("Node.js is not on the path.");
                throw;
            }
        }

        public async Task<string> ReadLineAsync() =>
            await _process.StandardOutput.ReadLineAsync(_patience.Token) ?? throw new InvalidOperationException(await _errors);

        public async Task WriteLineAsync(string line)
        {
            await _process.StandardInput.WriteLineAsync(line);
            await _process.StandardInput.FlushAsync(_patience.Token);
        }

        public async Task AssertSucceedsAsync()
        {
            var output = await _process.StandardOutput.ReadToEndAsync(_patience.Token);
            await _process.WaitForExitAsync(_patience.Token);
            TestContext.Out.WriteLine(output);
            Assert.That(_process.ExitCode, Is.Zero, $"{output}{await _errors}");
        }

        public void Dispose()
        {
            if (!_process.HasExited)
            {
                _process.Kill();
            }

            _process.Dispose();
            _patience.Dispose();
        }

        private static string Folder()
        {
            var folder = new DirectoryInfo(AppContext.BaseDirectory);
            while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "DistCache.sln")))
            {
                folder = folder.Parent;
            }

            Assert.That(folder, Is.Not.Null, "the tests do not run inside the repository");
            return Path.Combine(folder!.FullName, "tests", "grpc-js");
        }
    }
}
