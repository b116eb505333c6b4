using System.Globalization;

namespace DistCache.Wire;

/// <summary>Text that somebody else wrote, on its way into a log or a fault: one line, and not too long.</summary>
internal static class ForeignText
{
    private const int MaximumLength = 256;

    public static string Clean(string text)
    {
        var letters = text.AsSpan(0, Math.Min(text.Length, MaximumLength)).ToArray();
        for (var i = 0; i < letters.Length; i++)
        {
            letters[i] = MayStand(letters[i]) ? letters[i] : '?';
        }

        return text.Length > MaximumLength ? $"{new string(letters)}…" : new string(letters);
    }

    /// <summary>Not what ends a line, or turns the direction of what follows.</summary>
    private static bool MayStand(char letter) => !char.IsControl(letter) && char.GetUnicodeCategory(letter) is
        not (UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.Format);
}
