namespace DistCache.Tests.Architecture;

/// <summary>A word or a sign of a C# source.</summary>
internal readonly record struct Token(string Text, int Line)
{
    public bool IsWord => char.IsLetter(Text[0]) || Text[0] is '_' or '@';
}

/// <summary>
/// Reads a C# source as words and signs. Comments, directives, numbers, characters and strings are left out; code in the holes of
/// interpolated strings is not. Enough to ask which names a file uses, and no more than that.
/// </summary>
internal sealed class CSharpTokens
{
    private readonly string _source;
    private readonly List<Token> _tokens = [];
    private int _position;
    private int _line = 1;

    private CSharpTokens(string source) => _source = source;

    public static IReadOnlyList<Token> Read(string source)
    {
        var reader = new CSharpTokens(source);
        reader.ReadCode(isHole: false);
        return reader._tokens;
    }

    private char Current => Peek(0);

    private char Peek(int distance) => _position + distance < _source.Length ? _source[_position + distance] : '\0';

    private bool IsAt(string text) => string.CompareOrdinal(_source, _position, text, 0, text.Length) == 0;

    private void Skip(int count = 1)
    {
        for (; count > 0 && _position < _source.Length; count--)
        {
            _line += _source[_position++] == '\n' ? 1 : 0;
        }
    }

    private void SkipWhile(Func<char, bool> condition)
    {
        while (_position < _source.Length && condition(Current))
        {
            Skip();
        }
    }

    private void SkipPast(string end)
    {
        while (_position < _source.Length && !IsAt(end))
        {
            Skip();
        }

        Skip(end.Length);
    }

    /// <summary>To the end of the source, or to the brace that closes a hole.</summary>
    private void ReadCode(bool isHole)
    {
        var depth = 0;
        while (_position < _source.Length && !(isHole && depth == 0 && Current == '}'))
        {
            if (TrySkipTrivia() || TryReadString() || TryReadWordOrNumber())
            {
                continue;
            }

            depth += Current switch { '{' => 1, '}' => -1, _ => 0 };
            _tokens.Add(new Token(Current.ToString(), _line));
            Skip();
        }
    }

    private bool TrySkipTrivia()
    {
        switch (Current)
        {
            case var c when char.IsWhiteSpace(c):
                Skip();
                return true;
            case '/' when Peek(1) == '/':
            case '#':
                SkipWhile(c => c != '\n');
                return true;
            case '/' when Peek(1) == '*':
                Skip(2);
                SkipPast("*/");
                return true;
            case '\'':
                Skip();
                SkipEscapedPast('\'');
                return true;
            default:
                return false;
        }
    }

    private void SkipEscapedPast(char quote)
    {
        while (_position < _source.Length && Current != quote)
        {
            Skip(Current == '\\' ? 2 : 1);
        }

        Skip();
    }

    private bool TryReadWordOrNumber()
    {
        if (char.IsDigit(Current))
        {
            // 0x1F, 1_000, 1.5e3, 1UL; not the dots of 0..9.
            SkipWhile(c => char.IsLetterOrDigit(c) || c == '_' || (c == '.' && char.IsDigit(Peek(1))));
            return true;
        }

        if (!char.IsLetter(Current) && Current is not ('_' or '@'))
        {
            return false;
        }

        var (start, line) = (_position, _line);
        Skip();
        SkipWhile(c => char.IsLetterOrDigit(c) || c == '_');
        _tokens.Add(new Token(_source[start.._position].TrimStart('@'), line));
        return true;
    }

    /// <summary>Any of "…", @"…", $"…", $@"…", """…""", $"""…""" and $$"""…""".</summary>
    private bool TryReadString()
    {
        var prefix = 0;
        while (Peek(prefix) is '$' or '@')
        {
            prefix++;
        }

        if (Peek(prefix) != '"')
        {
            return false;
        }

        var signs = _source.AsSpan(_position, prefix);
        var holeBraces = signs.Count('$');
        var isVerbatim = signs.Contains('@');
        var quotes = 0;
        while (Peek(prefix + quotes) == '"')
        {
            quotes++;
        }

        // Two quotes are an empty string, three or more begin a raw one.
        var isRaw = quotes >= 3 && !isVerbatim;
        Skip(prefix + (isRaw ? quotes : 1));
        ReadStringContent(holeBraces, isVerbatim, isRaw ? new string('"', quotes) : "\"", isRaw);
        return true;
    }

    private void ReadStringContent(int holeBraces, bool isVerbatim, string end, bool isRaw)
    {
        var hole = new string('{', holeBraces);
        while (_position < _source.Length)
        {
            if (isVerbatim && IsAt("\"\""))
            {
                Skip(2);
            }
            else if (IsAt(end))
            {
                Skip(end.Length);
                return;
            }
            else if (!isRaw && holeBraces > 0 && IsAt("{{"))
            {
                Skip(2);
            }
            else if (holeBraces > 0 && IsAt(hole))
            {
                Skip(holeBraces);
                ReadCode(isHole: true);
                Skip(holeBraces);
            }
            else
            {
                Skip(Current == '\\' && !isVerbatim && !isRaw ? 2 : 1);
            }
        }
    }
}
