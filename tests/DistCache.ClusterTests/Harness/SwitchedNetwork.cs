using System.Diagnostics;

namespace DistCache.ClusterTests;

/// <summary>
/// A network namespace for each node, and one more that is the switch between them. Nodes are cut off as at a real switch: their ports move
/// to another bridge. Each link stays up, no packet arrives, and nobody is told. Nothing of it is seen outside of these namespaces; needs
/// root and iproute2.
/// </summary>
internal sealed class SwitchedNetwork : IDisposable
{
    private const string Prefix = "distcache-";
    private static readonly TimeSpan CommandTimeout = TimeSpan.FromSeconds(10);

    private readonly int _count;

    public SwitchedNetwork(int count)
        : this($"{Prefix}{Environment.ProcessId}-{Guid.NewGuid().ToString("N")[..8]}", count)
    {
        try
        {
            Build();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>One that another process has made, and disposes.</summary>
    public SwitchedNetwork(string name, int count)
    {
        Name = name;
        _count = count;
    }

    public string Name { get; }

    private string Switch => $"{Name}-s";

    /// <summary>Why there can be none here; null if there can.</summary>
    public static string? FindObstacle()
    {
        if (!OperatingSystem.IsLinux() || !Environment.IsPrivilegedProcess)
        {
            return "network namespaces need Linux and root";
        }

        try
        {
            using var probe = new SwitchedNetwork(1);
            Ip("netns", "exec", probe.NamespaceOf(0), "true");
            return null;
        }
        catch (Exception exception) when (exception is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            return $"network namespaces cannot be made here: {exception.Message}";
        }
    }

    public static string AddressOf(int index) => $"10.213.0.{index + 1}";

    /// <summary>The words before a command that is to run at a node.</summary>
    public string[] LauncherOf(int index) => ["ip", "netns", "exec", NamespaceOf(index)];

    /// <summary>Cuts these nodes off from all others; they reach each other.</summary>
    public void Cut(params int[] nodes) => Plug("cut", nodes);

    public void Heal() => Plug("whole", [.. Enumerable.Range(0, _count)]);

    /// <summary>A namespace takes with it what is in it, once the processes in it have ended.</summary>
    public void Dispose()
    {
        foreach (var name in Enumerable.Range(0, _count).Select(NamespaceOf).Append(Switch))
        {
            try
            {
                Ip("netns", "delete", name);
            }
            catch (InvalidOperationException)
            {
                // It was never made.
            }
        }
    }

    private string NamespaceOf(int index) => $"{Name}-{index}";

    private void Build()
    {
        RemoveLeftovers();
        Ip("netns", "add", Switch);
        foreach (var bridge in (string[])["whole", "cut"])
        {
            Ip("-n", Switch, "link", "add", bridge, "type", "bridge");
            Ip("-n", Switch, "link", "set", bridge, "up");
        }

        for (var i = 0; i < _count; i++)
        {
            var node = NamespaceOf(i);
            Ip("netns", "add", node);
            Ip("-n", Switch, "link", "add", PortOf(i), "type", "veth", "peer", "name", "eth0", "netns", node);
            Ip("-n", Switch, "link", "set", PortOf(i), "up");
            Ip("-n", node, "address", "add", $"{AddressOf(i)}/24", "dev", "eth0");
            Ip("-n", node, "link", "set", "lo", "up");
            Ip("-n", node, "link", "set", "eth0", "up");
        }

        Heal();
    }

    private void Plug(string bridge, int[] nodes)
    {
        foreach (var node in nodes)
        {
            Ip("-n", Switch, "link", "set", PortOf(node), "master", bridge);
        }
    }

    private static string PortOf(int index) => $"port{index}";

    /// <summary>Those of a run that was killed: their names say by which process they were made.</summary>
    private static void RemoveLeftovers()
    {
        foreach (var line in Ip("netns", "list").Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var name = line.Split(' ')[0];
            if (name.StartsWith(Prefix, StringComparison.Ordinal) && !Directory.Exists($"/proc/{name.Split('-')[1]}"))
            {
                Ip("netns", "delete", name);
            }
        }
    }

    private static string Ip(params string[] words)
    {
        using var process = Process.Start(new ProcessStartInfo("ip", words) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(CommandTimeout))
        {
            process.Kill();
        }

        return process.ExitCode == 0
            ? output.Result
            : throw new InvalidOperationException($"ip {string.Join(' ', words)}: {error.Result.Trim()}");
    }
}
