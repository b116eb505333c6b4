namespace DistCache;

/// <summary>Which cluster this node belongs to, and how it is found.</summary>
public sealed class ClusterOptions
{
    /// <summary>Nodes of another name are refused. 1 to 64 characters; <c>distcache</c> unless set.</summary>
    public string Name { get; set; } = "distcache";

    /// <summary>
    /// The address and port that peers are served on, <c>host:port</c>; port 0 lets the system choose. Not set: no port is opened and
    /// the cache is a local one.
    /// </summary>
    public string? Listen { get; set; }

    /// <summary>
    /// The address that peers dial to reach this node, <c>host:port</c>. Not set: <see cref="Listen"/> if that is one address, else
    /// the local address of the first connection to a seed, with the port of <see cref="Listen"/>.
    /// </summary>
    public string? Advertise { get; set; }

    /// <summary>
    /// Where to look for the cluster: <c>address:port</c>, <c>name:port</c> for whatever a DNS name resolves to at each dial, or <c>file:path</c> for
    /// a file with one of the former on each line, read again at each dial. The same list on all nodes is best, this node's own address in it does
    /// no harm. They are dialled for ever, so that parts of a cluster that lost each other meet again.
    /// </summary>
    public IList<string> Seeds { get; } = [];

    /// <summary>Stable across restarts and different on every node; <see cref="Advertise"/> unless set.</summary>
    public string? NodeName { get; set; }

    /// <summary>The failure domain of this node, such as a rack or an availability zone: copies go to different ones. At most 64 characters.</summary>
    public string Zone { get; set; } = "";

    /// <summary>
    /// Must be the same on all nodes: each proves to the other that it knows it, without sending it, before anything else is said. At
    /// least 16 characters, better 32 random ones; none unless set. It keeps strangers out; it does not encrypt: <see cref="Tls"/> does.
    /// </summary>
    public string? SharedSecret { get; set; }

    /// <summary>Encryption and certificates between nodes; none unless a certificate is set.</summary>
    public TlsOptions Tls { get; } = new();

    /// <summary>How quickly a silent member is given up. <see cref="ClusterProfile.Lan"/> unless set.</summary>
    public ClusterProfile Profile { get; set; } = ClusterProfile.Lan;

    /// <summary>The longest that the start of the host waits for the cluster, 0 to 5 minutes; 5 s unless set.</summary>
    public TimeSpan JoinTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The longest that the stop of the host waits for the hand-over, 0 to 10 minutes; 10 s unless set. Never more than half of what the host allows for
    /// its whole stop (<c>HostOptions.ShutdownTimeout</c>), if that has an end.
    /// </summary>
    public TimeSpan LeaveTimeout { get; set; } = TimeSpan.FromSeconds(10);
}

/// <summary>How quickly a silent member is given up, and how much that costs in messages.</summary>
public enum ClusterProfile
{
    /// <summary>A second between probes: a crash is agreed on in about six seconds, a busy host is not taken for a dead one.</summary>
    Lan,

    /// <summary>Half a second between probes: about three seconds.</summary>
    Fast,
}
