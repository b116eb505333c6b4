namespace DistCache.Membership;

/// <summary>Now, as <see cref="Swim"/> is told it.</summary>
/// <param name="Elapsed">Milliseconds on a clock that never jumps; every duration is counted on it.</param>
/// <param name="Clock">Milliseconds since 1970; only incarnations are compared with it.</param>
internal readonly record struct Moment(long Elapsed, long Clock);
