namespace ThreeNodes;

/// <summary>
/// One executable, two roles. Started by you it is the director: it starts three copies of itself as cache nodes, watches them, kills one,
/// brings it back and checks what is left. Started by itself, with "node" as the first word, it is one of the three.
/// </summary>
internal static class Program
{
    private const int UsageError = 2;
    private const int Cancelled = 130;

    public static async Task<int> Main(string[] args)
    {
        try
        {
            if (args is [NodeArguments.Role, ..])
            {
                return await NodeProgram.RunAsync(NodeArguments.Parse(args));
            }

            var arguments = Arguments.Parse(args);
            if (arguments.IsHelp)
            {
                Console.Out.Write(Arguments.Help);
                return 0;
            }

            return await DirectAsync(arguments);
        }
        catch (UsageException e)
        {
            await Console.Error.WriteLineAsync($"ThreeNodes: {e.Message}{Environment.NewLine}Run it with --help for the options.");
            return UsageError;
        }
    }

    private static async Task<int> DirectAsync(Arguments arguments)
    {
        var workload = Workload.Create(arguments);
        using var cancellation = new CancellationTokenSource();
        Console.CancelKeyPress += (_, e) =>
        {
            // Once: the nodes are ended in an orderly way. A second Ctrl+C ends this process at once; they notice and go too.
            e.Cancel = !cancellation.IsCancellationRequested;
            cancellation.Cancel();
        };

        try
        {
            await using var story = new Story(arguments, workload, new Screen());
            return await story.RunAsync(cancellation.Token) ? 0 : 1;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            await Console.Error.WriteLineAsync("ThreeNodes: cancelled.");
            return Cancelled;
        }
        catch (StoryException e)
        {
            await Console.Error.WriteLineAsync($"ThreeNodes: {e.Message}");
            return 1;
        }
    }
}
