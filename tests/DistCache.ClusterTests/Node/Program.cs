using Microsoft.Extensions.Options;

namespace DistCache.ClusterTests;

/// <summary>
/// What a test starts as a process of its own: <c>node</c>, a console host with a cache node, or <c>web</c>, an ASP.NET Core application
/// with sessions on top of one. The words after it are configuration, such as <c>--DistCache:Cluster:Listen=127.0.0.1:7600</c>.
/// </summary>
internal static class Program
{
    public static async Task<int> Main(string[] args)
    {
        if (args is not [NodeHost.ConsoleRole or NodeHost.WebRole, ..])
        {
            await Console.Error.WriteLineAsync($"This is a test project: run it with \"dotnet test\". Its own use: {NodeHost.ConsoleRole} | {NodeHost.WebRole} [configuration]");
            return 2;
        }

        try
        {
            await NodeHost.RunAsync(args[0], args[1..]);
            return 0;
        }
        catch (Exception e) when (e is OptionsValidationException or IOException)
        {
            // What an operator would see: a message, no stack trace.
            await Console.Error.WriteLineAsync($"FATAL {e.Message}");
            return 1;
        }
    }
}
