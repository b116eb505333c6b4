using System.Buffers;
using System.Text;
using DistCache.Entries;
using DistCache.Membership;
using DistCache.Memory;
using DistCache.Peers;
using DistCache.Replication;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistCache.Tests.Replication;

/// <summary>
/// Nodes without wire and membership: calls go straight to the handler, views are told by the test, links fail as the test says. What
/// takes time, takes it on a manual clock.
/// </summary>
internal sealed class InMemoryCluster : IDisposable
{
    private readonly Dictionary<PeerAddress, InMemoryNode> _byAddress = [];

    public InMemoryCluster(params string[] names)
        : this(new ReplicationOptions(), names)
    {
    }

    public InMemoryCluster(ReplicationOptions options, params string[] names)
    {
        Options = options;
        Nodes = [.. names.Select((name, i) => Add(name, 1_000 + i))];
        Settle();
        Time.Advance(TimeSpan.FromSeconds(10));
    }

    public ManualTime Time { get; } = new();

    public ReplicationOptions Options { get; }

    public List<InMemoryNode> Nodes { get; }

    /// <summary>What happens to a request from one node to another: null lets it through.</summary>
    public Func<InMemoryNode, InMemoryNode, PeerRequest, PeerFault?> Fault { get; set; } = static (_, _, _) => null;

    /// <summary>Requests to these are never answered; the sender's time runs out.</summary>
    public HashSet<InMemoryNode> Silent { get; } = [];

    /// <summary>Until when a request stays on its way; null: no time at all.</summary>
    public Func<InMemoryNode, InMemoryNode, PeerRequest, Task?> Hold { get; set; } = static (_, _, _) => null;

    /// <summary>Every reply is announced as one that follows on the bulk lane.</summary>
    public bool RepliesFollow { get; set; }

    /// <summary>What the asker gets of a reply.</summary>
    public Func<PeerReply, PeerReply> Replied { get; set; } = static reply => reply;

    /// <summary>The same for a reply, on its way to who asked.</summary>
    public Func<InMemoryNode, PeerReply, Task?> HoldReply { get; set; } = static (_, _) => null;

    /// <summary>Every request that got through, in order.</summary>
    public List<(NodeName From, NodeName To, PeerRequest Request)> Delivered { get; } = [];

    /// <summary>False where many threads send.</summary>
    public bool KeepsDelivered { get; init; } = true;

    public InMemoryNode this[NodeName name] => Nodes.First(node => node.Identity.Name == name);

    /// <summary>Starts another node, or another life of a node, empty; nobody knows it until <see cref="Settle"/>.</summary>
    public InMemoryNode Add(string name, long incarnation, bool isOpen = true)
    {
        var node = new InMemoryNode(this, new NodeIdentity(NodeName.Parse(name), incarnation), isOpen);
        _byAddress[node.Address] = node;
        return node;
    }

    /// <summary>Everybody learns that these are the settled members, and that the others are dead.</summary>
    public void Settle(params InMemoryNode[] members)
    {
        var settled = members.Length == 0 ? Nodes.ToArray() : members;
        foreach (var node in settled)
        {
            node.See(settled, _ => MemberState.Alive);
        }
    }

    public static byte[] KeyLedBy(InMemoryNode viewer, InMemoryNode primary, int skip = 0)
    {
        for (var i = 0; ; i++)
        {
            var key = Encoding.UTF8.GetBytes($"key{i}");
            if (IsLedBy(viewer, primary, key) && skip-- == 0)
            {
                return key;
            }
        }
    }

    public static bool IsLedBy(InMemoryNode viewer, InMemoryNode primary, byte[] key)
    {
        var table = viewer.Replicator.Ownership.Current.Table;
        return table.Nodes[table.Owners(Slot.Of(key))[0]].Name == primary.Identity.Name;
    }

    /// <summary>A key that the viewer does not own.</summary>
    public byte[] KeyOfOthers(InMemoryNode viewer, InMemoryNode primary) =>
        Enumerable.Range(0, 100).Select(skip => KeyLedBy(viewer, primary, skip)).First(key => !OwnersOf(key).Contains(viewer));

    public IEnumerable<InMemoryNode> OwnersOf(byte[] key)
    {
        var table = Nodes[0].Replicator.Ownership.Current.Table;
        return table.Owners(Slot.Of(key)).ToArray().Select(index => this[table.Nodes[index].Name]);
    }

    public async ValueTask<PeerReply> DeliverAsync(InMemoryNode from, PeerAddress to, PeerRequest request, CancellationToken cancellationToken)
    {
        var target = _byAddress[to];
        if (Hold(from, target, request) is { } hold)
        {
            await hold.WaitAsync(cancellationToken);
        }

        if (Fault(from, target, request) is { } fault)
        {
            return fault;
        }

        if (Silent.Contains(target))
        {
            await Task.Delay(Timeout.Infinite, CancellationToken.None);
        }

        if (KeepsDelivered)
        {
            // A copy: whoever asks uses the object, or the bytes that it refers to, again.
            Delivered.Add((from.Identity.Name, target.Identity.Name, request is ReplicateRequest copy ? copy with { Entry = CopyOf(copy.Entry) } : request with { }));
        }

        target.Clock.TryMerge(from.Clock.Current);
        var reply = await target.Replicator.Handle(from.Identity, request)!.Value;
        if (HoldReply(from, reply) is { } holdReply)
        {
            await holdReply.WaitAsync(cancellationToken);
        }

        from.Clock.TryMerge(target.Clock.Current);
        return Replied(reply);
    }

    public void Dispose()
    {
        foreach (var node in _byAddress.Values)
        {
            node.Dispose();
        }
    }

    private static EntryRecord CopyOf(EntryRecord entry) => entry with { Key = entry.Key.ToArray(), Value = entry.Value.ToArray() };
}

internal sealed class InMemoryNode : IPeerTransport, IDisposable
{
    private readonly InMemoryCluster _cluster;

    public InMemoryNode(InMemoryCluster cluster, NodeIdentity identity, bool isOpen)
    {
        _cluster = cluster;
        Identity = identity;
        Memory = new MemoryTier(64 << 20, Eviction.Lru, cluster.Time, tombstoneLifetime: cluster.Options.TombstoneLifetime);
        Clock = new HybridClock(cluster.Time);
        Replicator = new Replicator(ViewOf([this], _ => MemberState.Alive), Memory, this, Clock, cluster.Time, cluster.Time, new Random((int)identity.Incarnation), cluster.Options, NullLogger.Instance);
        Replicator.Start();
        if (isOpen)
        {
            Replicator.Open();
        }
    }

    event Action<PeerAddress>? IPeerTransport.Broken
    {
        add { }
        remove { }
    }

    public NodeIdentity Identity { get; }

    public PeerAddress Address => new(Identity.Name.ToString(), (int)(Identity.Incarnation % 60_000));

    /// <summary>How often it had to say that it is alive.</summary>
    public uint Refutation { get; set; }

    public MemoryTier Memory { get; }

    public HybridClock Clock { get; }

    public Replicator Replicator { get; }

    /// <summary>Takes a view in which these members are settled, in these states.</summary>
    public void See(IReadOnlyCollection<InMemoryNode> settled, Func<InMemoryNode, MemberState> stateOf) =>
        Replicator.Ownership.Update(ViewOf(settled, stateOf));

    /// <summary>Takes a view in which one member is leaving, or is in another state, and the others own everything.</summary>
    public void SeeLeaving(IReadOnlyCollection<InMemoryNode> settled, InMemoryNode leaver, MemberState state = MemberState.Leaving) => See(settled, [leaver], state);

    /// <summary>Takes a view in which some count for the table and others, in this state, do not.</summary>
    public void See(IReadOnlyCollection<InMemoryNode> settled, IReadOnlyCollection<InMemoryNode> aside, MemberState state) => See(settled, aside, _ => state);

    public void See(IReadOnlyCollection<InMemoryNode> settled, IReadOnlyCollection<InMemoryNode> aside, Func<InMemoryNode, MemberState> stateOf)
    {
        var names = aside.Select(static node => node.Identity.Name).ToHashSet();
        var members = ViewOf([.. settled, .. aside], node => names.Contains(node.Identity.Name) ? stateOf(node) : MemberState.Alive).Members
            .Select(member => member with { IsSettled = !names.Contains(member.Name) }).ToList();
        Replicator.Ownership.Update(new MembershipView(members.First(member => member.Name == Identity.Name), [.. members]));
    }

    /// <summary>Takes the view that it has, in which it was suspected and has refuted that.</summary>
    public void SeeRefuted()
    {
        var view = Replicator.Ownership.Current.View;
        var self = view.Self with { Record = view.Self.Record with { Refutation = view.Self.Record.Refutation + 1 } };
        Replicator.Ownership.Update(new MembershipView(self, view.Members.Replace(view.Self, self)));
    }

    public async Task<WriteReply> SetAsync(byte[] key, byte[] value, RemainingTime? remaining = null, CancellationToken token = default) =>
        await Replicator.Writes.Begin(key, remove: false, remaining ?? RemainingTime.Unlimited, new ReadOnlySequence<byte>(value), token).Reply;

    public async Task<WriteReply> RemoveAsync(byte[] key) =>
        await Replicator.Writes.Begin(key, remove: true, new RemainingTime(3_600_000, 0, 0), ReadOnlySequence<byte>.Empty, default).Reply;

    public async Task<byte[]?> GetAsync(byte[] key)
    {
        var reply = await Replicator.Reads.ReadAsync(key, renew: true, withValue: true, default);
        var value = reply?.Outcome == ReadOutcome.Hit ? reply.Value.ToArray() : null;
        reply?.Release();
        return value;
    }

    /// <summary>What this node itself holds.</summary>
    public byte[]? Held(byte[] key)
    {
        var value = new byte[1_000];
        return Memory.Read(key, value, renew: false, out _, out var length) == LookupOutcome.Hit ? value[..length] : null;
    }

    public void Send(PeerAddress to, PeerCall call, TimeSpan timeout, CancellationToken cancellationToken)
    {
        if (_cluster.RepliesFollow)
        {
            call.OnFollows();
        }

        _ = CarryAsync();

        async Task CarryAsync()
        {
            try
            {
                call.EndWith(await SendAsync(to, call.Request, timeout, cancellationToken));
            }
            catch (Exception exception)
            {
                call.EndWith(exception);
            }

            call.GoOn();
        }
    }

    public async ValueTask<PeerReply> SendAsync(PeerAddress to, PeerRequest request, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var delivery = _cluster.DeliverAsync(this, to, request, cancellationToken).AsTask();
        if (!delivery.IsCompleted)
        {
            await Task.WhenAny(delivery, Task.Delay(timeout + request.ExtraTime, _cluster.Time, CancellationToken.None));
        }

        return delivery.IsCompleted ? await delivery : PeerFault.TimedOut;
    }

    public void Dispose()
    {
        Replicator.Stop();
        Memory.Dispose();
    }

    private MembershipView ViewOf(IReadOnlyCollection<InMemoryNode> settled, Func<InMemoryNode, MemberState> stateOf)
    {
        var members = settled
            .OrderBy(node => node.Identity.Name)
            .Select(node => new Member(
                new MemberRecord(node.Identity, node.Refutation, stateOf(node), node.Address, "", _cluster.Options.ReplicaCount), IsSettled: true))
            .ToList();
        return new MembershipView(members.First(member => member.Name == Identity.Name), [.. members]);
    }
}
