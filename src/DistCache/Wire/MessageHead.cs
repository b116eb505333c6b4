namespace DistCache.Wire;

/// <summary>
/// The first three elements of every message, <c>[kind, id, clock, …fields]</c>.
/// </summary>
/// <param name="Kind">What the message is.</param>
/// <param name="Id">Chosen by the dialler, not in use on the lane; the reply carries the same.</param>
/// <param name="Clock">The sender's hybrid clock.</param>
/// <param name="Fields">How many elements follow.</param>
internal readonly record struct MessageHead(MessageKind Kind, uint Id, ulong Clock, int Fields)
{
    private const int HeadFields = 3;

    public static MessageHead Read(ref MessagePackReader reader)
    {
        var fields = reader.ReadFields(HeadFields);
        return new MessageHead((MessageKind)reader.ReadUInt32(), reader.ReadUInt32(), reader.ReadUInt64(), fields);
    }

    public void Write(in MessagePackWriter writer)
    {
        writer.WriteArrayHeader(HeadFields + Fields);
        writer.Write((ulong)Kind);
        writer.Write((ulong)Id);
        writer.Write(Clock);
    }

    /// <summary>How many fields follow the <paramref name="known"/> ones.</summary>
    public int FieldsAfter(int known) => Fields >= known
        ? Fields - known
        : throw RefusalException.Malformed($"A message of kind {(uint)Kind} with {Fields} fields, where at least {known} are expected.");
}
