namespace DistCache;

/// <summary>What the cluster believes about a member.</summary>
public enum MemberState
{
    /// <summary>It answers.</summary>
    Alive,

    /// <summary>It did not answer lately: requests go around it, it still owns its slots.</summary>
    Suspect,

    /// <summary>It says that it is about to leave: it hands over what it holds.</summary>
    Leaving,

    /// <summary>It was given up: others own its slots.</summary>
    Dead,

    /// <summary>It left in good order.</summary>
    Left,
}
