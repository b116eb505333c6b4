using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;

namespace DistCache.ClusterTests;

/// <summary>A node as an application would have it: a host, configuration, AddDistCache. It ends by SIGTERM, or when its input ends.</summary>
internal static class NodeHost
{
    public const string ConsoleRole = "node";
    public const string WebRole = "web";

    /// <summary>Where a web node keeps the keys that sign session cookies; the same folder for all that share sessions.</summary>
    public const string KeyFolder = "KeyFolder";

    public static async Task RunAsync(string role, string[] configuration)
    {
        using var host = role == WebRole ? BuildWeb(configuration) : BuildConsole(configuration);
        await host.StartAsync();
        var lifetime = host.Services.GetRequiredService<IHostApplicationLifetime>();
        var commands = ActivatorUtilities.CreateInstance<CommandLoop>(host.Services);

        // It goes on answering while the host stops: what is asked of a node that hands over is part of what is tested.
        _ = Task.Run(async () =>
        {
            await commands.RunAsync(UrlOf(host));
            lifetime.StopApplication();
        });
        await host.WaitForShutdownAsync();
    }

    private static IHost BuildConsole(string[] configuration)
    {
        var builder = Host.CreateApplicationBuilder(configuration);
        AddNode(builder);
        return builder.Build();
    }

    private static WebApplication BuildWeb(string[] configuration)
    {
        var builder = WebApplication.CreateBuilder(configuration);
        AddNode(builder);
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddSession();
        builder.Services.AddDataProtection()
            .PersistKeysToFileSystem(new DirectoryInfo(builder.Configuration[KeyFolder]!))
            .SetApplicationName("DistCache.ClusterTests");
        var app = builder.Build();
        app.UseSession();
        app.MapGet("/session/{name}", (HttpContext context, string name) => context.Session.GetString(name) ?? "");
        app.MapPut("/session/{name}/{value}", (HttpContext context, string name, string value) => context.Session.SetString(name, value));
        return app;
    }

    private static void AddNode(IHostApplicationBuilder builder)
    {
        // Standard output belongs to the replies.
        builder.Logging.ClearProviders().AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = "HH:mm:ss.fff ";
        });
        builder.Services.Configure<ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Logging.SetMinimumLevel(LogLevel.Warning).AddFilter("DistCache", LogLevel.Information);
        builder.Services.AddSingleton<TakeoverWatch>();
        builder.Services.AddDistCache(builder.Configuration.GetSection("DistCache"));
    }

    private static string? UrlOf(IHost host) =>
        host.Services.GetService<IServer>()?.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault();
}
