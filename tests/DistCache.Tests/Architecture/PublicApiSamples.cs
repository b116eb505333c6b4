namespace DistCache.Tests.Architecture.Samples;

/// <summary>Public on purpose: what <see cref="PublicApiTests"/> tries its text on.</summary>
public abstract class Shape : IDisposable
{
    public const int Limit = 3;

    internal const int Hidden = 4;

    protected Shape(int size) => Size = size;

    public event Action<Shape, string?>? Drawn;

    public static IReadOnlyList<string?> All { get; } = [];

    public Color? Fill { get; init; }

    public string? Title { get; set; }

    private protected int Size { get; }

    public abstract bool TryDraw(in long scale, out string? text, string[]? names = null);

    public virtual Task<T> MapAsync<T>(Func<Shape, T> map, CancellationToken cancellationToken = default) => Task.FromResult(map(this));

    public override string ToString()
    {
        Drawn?.Invoke(this, null);
        return "";
    }

    public void Dispose() => GC.SuppressFinalize(this);

    internal void Hide()
    {
    }
}

public enum Color
{
    Red,
    Blue = 4,
}

public static class Extensions
{
    public static string? Name(this Shape shape, bool isLong = true) => isLong ? shape.ToString() : null;
}
