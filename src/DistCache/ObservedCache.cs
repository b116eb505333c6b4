using System.Buffers;
using DistCache.Diagnostics;
using Microsoft.Extensions.Caching.Distributed;

namespace DistCache;

/// <summary>
/// Counts, times and traces each operation where somebody listens; where nobody does, passes it on. What is observed has a method of its
/// own: a lambda would allocate in the other case too.
/// </summary>
internal sealed class ObservedCache(DistributedCache inner) : IBufferDistributedCache, IDisposable
{
    public byte[]? Get(string key)
    {
        if (!Operation.IsObserved)
        {
            return inner.Get(key);
        }

        using var operation = Operation.Begin(Operation.Get);
        return operation.Found(inner.Get(key));
    }

    public Task<byte[]?> GetAsync(string key, CancellationToken token = default) =>
        Operation.IsObserved ? ObserveGetAsync(key, token) : inner.GetAsync(key, token);

    public bool TryGet(string key, IBufferWriter<byte> destination)
    {
        if (!Operation.IsObserved)
        {
            return inner.TryGet(key, destination);
        }

        using var operation = Operation.Begin(Operation.Get);
        return operation.Found(inner.TryGet(key, destination));
    }

    public ValueTask<bool> TryGetAsync(string key, IBufferWriter<byte> destination, CancellationToken token = default) =>
        Operation.IsObserved ? ObserveTryGetAsync(key, destination, token) : inner.TryGetAsync(key, destination, token);

    public void Set(string key, byte[] value, DistributedCacheEntryOptions options)
    {
        ArgumentNullException.ThrowIfNull(value);
        Set(key, new ReadOnlySequence<byte>(value), options);
    }

    public void Set(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options)
    {
        if (!Operation.IsObserved)
        {
            inner.Set(key, value, options);
            return;
        }

        using var operation = Operation.Begin(Operation.Set);
        inner.Set(key, value, options);
        operation.Succeeded();
    }

    public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(value);
        return SetAsync(key, new ReadOnlySequence<byte>(value), options, token).AsTask();
    }

    public ValueTask SetAsync(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options, CancellationToken token = default) =>
        Operation.IsObserved ? ObserveSetAsync(key, value, options, token) : inner.SetAsync(key, value, options, token);

    public void Refresh(string key)
    {
        if (!Operation.IsObserved)
        {
            inner.Refresh(key);
            return;
        }

        using var operation = Operation.Begin(Operation.Refresh);
        inner.Refresh(key);
        operation.Succeeded();
    }

    public Task RefreshAsync(string key, CancellationToken token = default) =>
        Operation.IsObserved ? ObserveRefreshAsync(key, token) : inner.RefreshAsync(key, token);

    public void Remove(string key)
    {
        if (!Operation.IsObserved)
        {
            inner.Remove(key);
            return;
        }

        using var operation = Operation.Begin(Operation.Remove);
        inner.Remove(key);
        operation.Succeeded();
    }

    public Task RemoveAsync(string key, CancellationToken token = default) =>
        Operation.IsObserved ? ObserveRemoveAsync(key, token) : inner.RemoveAsync(key, token);

    public void Dispose() => inner.Dispose();

    private async Task<byte[]?> ObserveGetAsync(string key, CancellationToken token)
    {
        using var operation = Operation.Begin(Operation.Get);
        return operation.Found(await inner.GetAsync(key, token).ConfigureAwait(false));
    }

    private async ValueTask<bool> ObserveTryGetAsync(string key, IBufferWriter<byte> destination, CancellationToken token)
    {
        using var operation = Operation.Begin(Operation.Get);
        return operation.Found(await inner.TryGetAsync(key, destination, token).ConfigureAwait(false));
    }

    private async ValueTask ObserveSetAsync(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options, CancellationToken token)
    {
        using var operation = Operation.Begin(Operation.Set);
        await inner.SetAsync(key, value, options, token).ConfigureAwait(false);
        operation.Succeeded();
    }

    private async Task ObserveRefreshAsync(string key, CancellationToken token)
    {
        using var operation = Operation.Begin(Operation.Refresh);
        await inner.RefreshAsync(key, token).ConfigureAwait(false);
        operation.Succeeded();
    }

    private async Task ObserveRemoveAsync(string key, CancellationToken token)
    {
        using var operation = Operation.Begin(Operation.Remove);
        await inner.RemoveAsync(key, token).ConfigureAwait(false);
        operation.Succeeded();
    }
}
