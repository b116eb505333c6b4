namespace DistCache.ClusterTests;

internal sealed class SessionTests : ClusterTest
{
    [Test]
    public async Task Session_WrittenThroughOneWebApp_IsReadThroughTheOther()
    {
        var keyFolder = Directory.CreateTempSubdirectory("distcache-keys-");
        try
        {
            var cluster = NewCluster(2, NodeHost.WebRole, $"--{NodeHost.KeyFolder}={keyFolder.FullName}");
            await cluster.StartAllAsync();
            using var client = new HttpClient(new SocketsHttpHandler { UseCookies = false });

            // Many, so that both nodes are the primary of some and the other's reads go over the wire.
            for (var session = 0; session < 20; session++)
            {
                var cookie = await PutAsync(client, $"{cluster.UrlOf(session % 2)}/session/user/name-{session}");
                var name = await GetAsync(client, $"{cluster.UrlOf((session + 1) % 2)}/session/user", cookie);
                Assert.That(name, Is.EqualTo($"name-{session}"), $"session {session}");
            }
        }
        finally
        {
            keyFolder.Delete(recursive: true);
        }
    }

    [Test]
    [Platform(Unix)]
    public async Task Session_WhenItsWebAppIsKilled_IsReadThroughTheOther()
    {
        var keyFolder = Directory.CreateTempSubdirectory("distcache-keys-");
        try
        {
            var cluster = NewCluster(2, NodeHost.WebRole, $"--{NodeHost.KeyFolder}={keyFolder.FullName}");
            await cluster.StartAllAsync();
            using var client = new HttpClient(new SocketsHttpHandler { UseCookies = false });
            var cookies = new string[20];
            for (var session = 0; session < cookies.Length; session++)
            {
                cookies[session] = await PutAsync(client, $"{cluster.UrlOf(0)}/session/user/name-{session}");
            }

            // The middleware only logs it when a session could not be written.
            for (var session = 0; session < cookies.Length; session++)
            {
                var name = await GetAsync(client, $"{cluster.UrlOf(0)}/session/user", cookies[session]);
                Assert.That(name, Is.EqualTo($"name-{session}"), $"session {session}, before the fault");
            }

            await cluster.WaitUntilSafeAsync();
            await cluster[0].KillAsync();
            for (var session = 0; session < cookies.Length; session++)
            {
                var name = await GetAsync(client, $"{cluster.UrlOf(1)}/session/user", cookies[session]);
                Assert.That(name, Is.EqualTo($"name-{session}"), $"session {session}");
            }
        }
        finally
        {
            keyFolder.Delete(recursive: true);
        }
    }

    /// <summary>By hand, as a browser behind a load balancer would: the cookie of one address goes to the other.</summary>
    private static async Task<string> PutAsync(HttpClient client, string url)
    {
        using var response = await client.PutAsync(url, content: null);
        response.EnsureSuccessStatusCode();
        return response.Headers.GetValues("Set-Cookie").Single().Split(';')[0];
    }

    private static async Task<string> GetAsync(HttpClient client, string url, string cookie)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, url);
        request.Headers.Add("Cookie", cookie);
        using var response = await client.SendAsync(request);
        response.EnsureSuccessStatusCode();
        return await response.Content.ReadAsStringAsync();
    }
}
