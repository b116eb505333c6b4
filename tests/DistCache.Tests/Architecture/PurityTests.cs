namespace DistCache.Tests.Architecture;

/// <summary>
/// What only a machine decides (its clock, its threads, chance) stays outside of what the simulation runs on one thread in virtual
/// time, and all waiting outside of what decides.
/// </summary>
internal sealed class PurityTests
{
    private static readonly string[] Ambient =
    [
        "DateTime.UtcNow", "DateTime.Now", "DateTimeOffset.UtcNow", "DateTimeOffset.Now", "Stopwatch", "Environment.TickCount",
        "Environment.TickCount64", "TimeProvider.System", "Random.Shared", "new Random", "Guid.NewGuid", "Guid.CreateVersion7", "Thread", "ThreadPool", "Timer",
    ];

    /// <summary>Each leaves the thread that awaits it, or starts another.</summary>
    private static readonly string[] Escaping =
        ["Task.Run", "Task.Factory", "Task.WhenEach", "Parallel", "Channel", "SemaphoreSlim", "Monitor.Wait", "ManualResetEventSlim"];

    private static readonly string[] Waiting =
        ["async", "await", "Task", "ValueTask", "TimeProvider", "lock", "Lock", "Monitor", "SemaphoreSlim", "Interlocked", "Volatile"];

    [Test]
    public void Library_ReplicationAndNear_TouchOnlyTheSeams() => Assert.That(
        FindWords(Library("Replication/", "Near/"), [.. Ambient, .. Escaping], "The simulation runs this on one thread in virtual time: take it from TimeProvider, IPeerTransport or the Random that is passed in."),
        Is.Empty);

    [Test]
    public void Library_RingEntriesAndSwim_DecideWithoutWaiting() => Assert.That(
        FindWords(
            Library("Ring/", "Entries/", "Membership/Swim").Where(file => file.Path != "Entries/HybridClock.cs"),
            [.. Ambient, .. Escaping, .. Waiting],
            "This is pure: take what you need as an argument, now as well, and give back what is to be done."),
        Is.Empty);

    [Test]
    public void Library_HybridClock_NeitherLocksNorWaits() => Assert.That(
        FindWords(
            Library("Entries/HybridClock.cs"),
            [.. Ambient, .. Escaping, .. Waiting.Except(["TimeProvider", "Interlocked", "Volatile"])],
            "Every message passes through this clock: a compare-and-swap is all that it may do."),
        Is.Empty);

    [Test]
    public void Library_AddressesOfMemory_AreKnownToTwoTypes() => Assert.That(
        FindWords(
            Library("").Where(file => file.Path is not ("Memory/PageMemory.cs" or "Memory/SystemMemory.cs")),
            ["unsafe", "Marshal", "NativeMemory", "Unsafe.Add", "Unsafe.AsPointer"],
            "Only PageMemory and SystemMemory know addresses: ask them for a reference or a span."),
        Is.Empty);

    [Test]
    public void Library_FilesThatMustBePure_AreThere() =>
        Assert.That(Library("Ring/", "Entries/").Select(file => file.Path), Does.Contain("Ring/SlotTable.cs").And.Contain("Entries/HybridClock.cs"));

    [TestCase("Task.Run(() => 1)", "Task.Run")]
    [TestCase("await Task\n.Run(B)", "Task.Run")]
    [TestCase("new SemaphoreSlim(1)", "SemaphoreSlim")]
    [TestCase("Channel.CreateBounded<int>(1)", "Channel")]
    [TestCase("DateTimeOffset.UtcNow", "DateTimeOffset.UtcNow")]
    [TestCase("System.DateTime.UtcNow", "DateTime.UtcNow")]
    [TestCase("Random.Shared.Next()", "Random.Shared")]
    [TestCase("new Thread(B)", "Thread")]
    [TestCase("$\"{Stopwatch.GetTimestamp()}\"", "Stopwatch")]
    public void FindWords_ForbiddenOne_IsReportedWithItsRemedy(string code, string word) => Assert.That(
        FindWords([new SourceFile("Replication/A.cs", $"class A {{ object B = {code}; }}")], [.. Ambient, .. Escaping], "Remedy.").Single(),
        Does.StartWith("Replication/A.cs(").And.Contain(word).And.EndWith("Remedy."));

    [TestCase("time.GetUtcNow()")]
    [TestCase("\"Task.Run\" /* Task.Run */")]
    [TestCase("Task.WhenAll(b)")]
    [TestCase("b.UtcNow")]
    [TestCase("random.Next()")]
    public void FindWords_AllowedOne_IsNotReported(string code) => Assert.That(
        FindWords([new SourceFile("Replication/A.cs", $"class A {{ object B = {code}; }}")], [.. Ambient, .. Escaping], "Remedy."), Is.Empty);

    private static IEnumerable<SourceFile> Library(params string[] paths) =>
        SourceFile.ReadLibrary().Where(file => paths.Any(path => file.Path.StartsWith(path, StringComparison.Ordinal)));

    private static IEnumerable<string> FindWords(IEnumerable<SourceFile> files, string[] words, string remedy)
    {
        var sequences = words.Select(word => (Word: word, Tokens: CSharpTokens.Read(word).Select(token => token.Text).ToArray())).ToList();
        foreach (var file in files)
        {
            for (var i = 0; i < file.Tokens.Count; i++)
            {
                foreach (var (word, tokens) in sequences)
                {
                    if (file.Tokens.Skip(i).Take(tokens.Length).Select(token => token.Text).SequenceEqual(tokens))
                    {
                        yield return $"{file.Path}({file.Tokens[i].Line}): {word}. {remedy}";
                    }
                }
            }
        }
    }
}
