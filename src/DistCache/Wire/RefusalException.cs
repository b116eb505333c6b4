namespace DistCache.Wire;

/// <summary>The gRPC statuses that this protocol uses (grpc.io, "Status codes and their use in gRPC").</summary>
internal enum GrpcStatus
{
    Ok = 0,

    /// <summary>A malformed message.</summary>
    InvalidArgument = 3,

    /// <summary>A health check for a service that is not here.</summary>
    NotFound = 5,

    /// <summary>Over a limit.</summary>
    ResourceExhausted = 8,

    /// <summary>Another cluster or protocol version, a clock too far ahead, or the node itself.</summary>
    FailedPrecondition = 9,

    /// <summary>A path that is not served.</summary>
    Unimplemented = 12,

    /// <summary>The node is closing, or failed.</summary>
    Unavailable = 14,

    /// <summary>The shared secret is wrong or missing.</summary>
    Unauthenticated = 16,
}

/// <summary>Ends a lane: the peer did what the protocol forbids. The status and reason go to the peer, the count to the metrics.</summary>
/// <param name="status">What the peer is told.</param>
/// <param name="cause">The tag of the count: one of a few fixed words.</param>
/// <param name="reason">What was got and what was expected.</param>
internal sealed class RefusalException(GrpcStatus status, string cause, string reason) : Exception(reason)
{
    public GrpcStatus Status { get; } = status;

    public string Cause { get; } = cause;

    public static RefusalException Malformed(string reason) => new(GrpcStatus.InvalidArgument, "malformed", reason);

    public static RefusalException OverLimit(string reason) => new(GrpcStatus.ResourceExhausted, "limit", reason);
}
