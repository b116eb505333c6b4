using System.Globalization;
using DistCache.Entries;
using DistCache.Memory;
using DistCache.Membership;
using DistCache.Peers;
using DistCache.Wire;
using Microsoft.Extensions.Options;

namespace DistCache.Hosting;

/// <summary>Checks every option against its bounds; a message names the property, the value and the bound.</summary>
internal sealed class DistCacheOptionsValidator : IValidateOptions<DistCacheOptions>
{
    private const int MaximumNameLength = 64;
    private const int MinimumSecretLength = 16;
    private const int MaximumReplicaCount = 7;
    private const int MaximumMembers = 256;

    public ValidateOptionsResult Validate(string? name, DistCacheOptions options)
    {
        List<string> failures = [];
        CheckCluster(options.Cluster, failures);
        CheckMemory(options.Memory, failures);
        CheckReplication(options.Replication, failures);
        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);
    }

    private static void CheckCluster(ClusterOptions cluster, List<string> failures)
    {
        if (cluster.Name is null or { Length: 0 or > MaximumNameLength })
        {
            failures.Add($"Cluster.Name is \"{cluster.Name}\"; it must have 1 to {MaximumNameLength} characters.");
        }

        CheckAddress("Cluster.Listen", cluster.Listen, isPortRequired: false, failures);
        CheckAddress("Cluster.Advertise", cluster.Advertise, isPortRequired: true, failures);
        for (var i = 0; i < cluster.Seeds.Count; i++)
        {
            CheckSeed($"Cluster.Seeds[{i}]", cluster.Seeds[i] ?? "", failures);
        }

        if (cluster.Seeds.Count > 0 && cluster.Listen is null)
        {
            failures.Add("Cluster.Seeds has entries but Cluster.Listen is not set: a node that joins a cluster must be reachable by the others. Set Cluster.Listen, for example to \"0.0.0.0:7600\".");
        }

        if (cluster.NodeName is not null && !NodeName.TryParse(cluster.NodeName, out _))
        {
            failures.Add($"Cluster.NodeName is \"{cluster.NodeName}\"; it must have 1 to {NodeName.MaximumBytes} bytes of UTF-8 without control characters.");
        }

        if (cluster.Zone is null || cluster.Zone.Length > MemberRecord.MaximumZoneLength)
        {
            failures.Add($"Cluster.Zone is \"{cluster.Zone}\"; it must have at most {MemberRecord.MaximumZoneLength} characters.");
        }

        if (cluster.SharedSecret is { Length: < MinimumSecretLength })
        {
            // Not the value: it would stand in a log.
            failures.Add($"Cluster.SharedSecret has {cluster.SharedSecret.Length} characters; it must have at least {MinimumSecretLength}.");
        }

        CheckTls(cluster.Tls, failures);
        CheckEnum("Cluster.Profile", cluster.Profile, failures);
        CheckRange("Cluster.JoinTimeout", cluster.JoinTimeout, TimeSpan.Zero, TimeSpan.FromMinutes(5), failures);
        CheckRange("Cluster.LeaveTimeout", cluster.LeaveTimeout, TimeSpan.Zero, TimeSpan.FromMinutes(10), failures);
    }

    /// <summary>Reads the files as well: a node that cannot speak to its peers should not start.</summary>
    private static void CheckTls(TlsOptions tls, List<string> failures)
    {
        if (tls.IsHalfSet)
        {
            failures.Add("Cluster.Tls has options but no certificate, so that it is off. Set Cluster.Tls.CertificatePath, or call Cluster.Tls.UseCertificate.");
        }

        if (tls is { Provider: not null, CertificatePath: { } path })
        {
            failures.Add($"Cluster.Tls.CertificatePath is \"{path}\", and UseCertificate was called too; one of the two must go.");
            return;
        }

        if (!tls.IsOn)
        {
            return;
        }

        if (tls is { RequireClientCertificate: true, AuthorityPath: null, PeerName: null } && tls.GivenAuthorities().Count == 0)
        {
            failures.Add("Cluster.Tls.RequireClientCertificate is True with neither Cluster.Tls.AuthorityPath nor Cluster.Tls.PeerName: whoever has a certificate of a public authority would be let in. Set one of them.");
        }

        if (tls.PeerName is not null && Uri.CheckHostName(tls.PeerName) != UriHostNameType.Dns)
        {
            failures.Add($"Cluster.Tls.PeerName is \"{tls.PeerName}\"; it must be a DNS name that the certificates of all nodes carry, for example \"cache.internal\".");
        }

        if (TlsMaterial.FindProblem(tls) is { } problem)
        {
            failures.Add(problem);
        }
    }

    private static void CheckSeed(string property, string entry, List<string> failures)
    {
        if (!CombinedSeeds.IsFile(entry))
        {
            CheckAddress(property, entry, isPortRequired: true, failures);
        }
        else if (entry.Length == CombinedSeeds.FilePrefix.Length)
        {
            failures.Add($"{property} is \"{entry}\"; after \"{CombinedSeeds.FilePrefix}\" the path of a file with an address on each line is expected.");
        }
    }

    private static void CheckMemory(MemoryOptions memory, List<string> failures)
    {
        CheckRange("Memory.SizeLimit", memory.SizeLimit, MemoryTier.MinimumSizeLimit, MemoryTier.MaximumSizeLimit, failures);
        CheckEnum("Memory.Eviction", memory.Eviction, failures);
        CheckRange("Memory.MaximumKeyBytes", memory.MaximumKeyBytes, 1, EntryKey.MaximumBytes, failures);
        CheckRange("Memory.MaximumValueBytes", memory.MaximumValueBytes, 0, LaneLimits.MaximumValueBytes, failures);
        if (memory.DefaultExpiration is { } expiration)
        {
            CheckRange("Memory.DefaultExpiration", expiration, TimeSpan.FromTicks(1), TimeSpan.MaxValue, failures);
        }
    }

    private static void CheckReplication(ReplicationOptions replication, List<string> failures)
    {
        CheckRange("Replication.ReplicaCount", replication.ReplicaCount, 0, MaximumReplicaCount, failures);
        CheckEnum("Replication.WriteAck", replication.WriteAck, failures);
        CheckEnum("Replication.ReadFrom", replication.ReadFrom, failures);
        CheckEnum("Replication.OnReadFailure", replication.OnReadFailure, failures);
        CheckRange("Replication.Timeout", replication.Timeout, TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(1), failures);
        CheckRange("Replication.TombstoneLifetime", replication.TombstoneLifetime, ReplicationOptions.SmallestTombstoneLifetime, TimeSpan.FromDays(7), failures);
        CheckRange("Replication.MinimumMembers", replication.MinimumMembers, 1, MaximumMembers, failures);
    }

    private static void CheckAddress(string property, string? value, bool isPortRequired, List<string> failures)
    {
        if (value is null)
        {
            return;
        }

        if (!PeerAddress.TryParse(value, out var address))
        {
            failures.Add($"{property} is \"{value}\"; it must be host:port, with an IPv6 address in brackets, for example \"10.0.0.5:7600\".");
        }
        else if (isPortRequired && address.Port == 0)
        {
            failures.Add($"{property} is \"{value}\"; its port must be 1 to 65535.");
        }
    }

    private static void CheckRange<T>(string property, T value, T minimum, T maximum, List<string> failures)
        where T : IComparable<T>
    {
        if (value.CompareTo(minimum) < 0 || value.CompareTo(maximum) > 0)
        {
            failures.Add(string.Create(CultureInfo.InvariantCulture, $"{property} is {value}; it must be from {minimum} to {maximum}."));
        }
    }

    private static void CheckEnum<T>(string property, T value, List<string> failures)
        where T : struct, Enum
    {
        if (!Enum.IsDefined(value))
        {
            failures.Add($"{property} is {value}; it must be one of {string.Join(", ", Enum.GetNames<T>())}.");
        }
    }
}
