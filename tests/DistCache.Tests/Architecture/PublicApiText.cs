using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;

namespace DistCache.Tests.Architecture;

/// <summary>Writes the public face of an assembly down, one line a member, in an order that does not depend on the sources.</summary>
internal static class PublicApiText
{
    private static readonly Dictionary<Type, string> Keywords = new()
    {
        [typeof(void)] = "void", [typeof(object)] = "object", [typeof(string)] = "string", [typeof(bool)] = "bool",
        [typeof(byte)] = "byte", [typeof(short)] = "short", [typeof(ushort)] = "ushort", [typeof(int)] = "int",
        [typeof(uint)] = "uint", [typeof(long)] = "long", [typeof(ulong)] = "ulong", [typeof(double)] = "double",
    };

    public static IReadOnlyList<Type> PublicTypes(Assembly assembly) =>
        [.. assembly.GetExportedTypes().Where(type => !IsGenerated(type)).OrderBy(type => type.FullName, StringComparer.Ordinal)];

    public static string Write(IEnumerable<Type> types)
    {
        var text = new StringBuilder();
        foreach (var type in types)
        {
            text.Append(Declare(type)).Append('\n');
            foreach (var member in Members(type).Order(StringComparer.Ordinal))
            {
                text.Append("    ").Append(member).Append('\n');
            }
        }

        return text.ToString();
    }

    private static bool IsGenerated(MemberInfo member) =>
        member.Name.Contains('<', StringComparison.Ordinal) || member.IsDefined(typeof(CompilerGeneratedAttribute), inherit: false);

    private static string Declare(Type type)
    {
        var kind = type switch
        {
            { IsEnum: true } => "enum",
            { IsInterface: true } => "interface",
            { IsValueType: true } => "struct",
            { IsAbstract: true, IsSealed: true } => "static class",
            { IsSealed: true } => "sealed class",
            { IsAbstract: true } => "abstract class",
            _ => "class",
        };
        var bases = type.IsEnum
            ? []
            : new[] { type.BaseType }.Where(b => b is not null && b != typeof(object) && b != typeof(ValueType)).Select(b => NameOf(b!))
                .Concat(type.GetInterfaces().Where(i => i.IsVisible).Select(i => NameOf(i)).Order(StringComparer.Ordinal));
        return $"{kind} {type.Namespace}.{NameOf(type)}{string.Concat(bases.Select((name, i) => (i == 0 ? " : " : ", ") + name))}";
    }

    private static IEnumerable<string> Members(Type type)
    {
        const BindingFlags Declared =
            BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        return type.IsEnum
            ? Enum.GetNames(type).Select(name => string.Create(CultureInfo.InvariantCulture, $"{name} = {Enum.Parse(type, name):D}"))
            : type.GetMembers(Declared).Where(member => !IsGenerated(member)).Select(Describe).OfType<string>();
    }

    /// <summary>Null for what callers do not see, and for accessors, which their property or event tells.</summary>
    private static string? Describe(MemberInfo member) => member switch
    {
        ConstructorInfo constructor when IsVisible(constructor) =>
            $"{Access(constructor)}{NameOf(constructor.DeclaringType!)}({Parameters(constructor)})",
        MethodInfo method when IsVisible(method) && !IsAccessor(method) =>
            $"{Access(method)}{Modifiers(method)}{NameOf(method.ReturnParameter)} {method.Name}{TypeParameters(method)}({Parameters(method)})",
        PropertyInfo property when property.GetAccessors(nonPublic: true).FirstOrDefault(IsVisible) is { } accessor =>
            $"{Access(accessor)}{Modifiers(accessor)}{NameOf(property)} {property.Name}{IndexParameters(property)} {{ {Accessors(property)}}}",
        EventInfo { AddMethod: { } add } @event when IsVisible(add) =>
            $"{Access(add)}{Modifiers(add)}event {Annotated(@event.EventHandlerType!, new NullabilityInfoContext().Create(@event))} {@event.Name}",
        FieldInfo field when field.IsPublic || field.IsFamily || field.IsFamilyOrAssembly =>
            $"{(field.IsPublic ? "" : "protected ")}{(field.IsLiteral ? "const " : field.IsStatic ? "static " : "")}{(field.IsInitOnly ? "readonly " : "")}"
                + $"{Annotated(field.FieldType, new NullabilityInfoContext().Create(field))} {field.Name}{(field.IsLiteral ? $" = {Literal(field.GetRawConstantValue())}" : "")}",
        _ => null,
    };

    private static bool IsVisible(MethodBase method) => method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;

    private static bool IsAccessor(MethodInfo method) => method.IsSpecialName && !method.Name.StartsWith("op_", StringComparison.Ordinal);

    private static string Access(MethodBase method) => method.IsPublic ? "" : "protected ";

    private static string Modifiers(MethodInfo method) => method switch
    {
        { IsStatic: true } => "static ",
        { DeclaringType.IsInterface: true } => "",
        { IsAbstract: true } => "abstract ",
        { IsVirtual: true } when method.GetBaseDefinition().DeclaringType != method.DeclaringType => "override ",
        { IsVirtual: true, IsFinal: false } => "virtual ",
        _ => "",
    };

    private static string Accessors(PropertyInfo property)
    {
        var get = property.GetMethod is { } getter && IsVisible(getter) ? "get; " : "";
        var isInit = property.SetMethod?.ReturnParameter.GetRequiredCustomModifiers().Contains(typeof(IsExternalInit)) == true;
        var set = property.SetMethod is { } setter && IsVisible(setter) ? isInit ? "init; " : "set; " : "";
        return get + set;
    }

    private static string IndexParameters(PropertyInfo property) =>
        property.GetIndexParameters() is { Length: > 0 } parameters ? $"[{string.Join(", ", parameters.Select(Parameter))}]" : "";

    private static string TypeParameters(MethodInfo method) =>
        method.IsGenericMethod ? $"<{string.Join(", ", method.GetGenericArguments().Select(NameOf))}>" : "";

    private static string Parameters(MethodBase method)
    {
        var parameters = method.GetParameters().Select(Parameter);
        return (method.IsDefined(typeof(ExtensionAttribute), inherit: false) ? "this " : "") + string.Join(", ", parameters);
    }

    private static string Parameter(ParameterInfo parameter)
    {
        var passing = parameter switch
        {
            { IsOut: true } => "out ",
            { ParameterType.IsByRef: true, IsIn: true } => "in ",
            { ParameterType.IsByRef: true } => "ref ",
            _ => "",
        };
        return $"{passing}{NameOf(parameter)} {parameter.Name}{(parameter.HasDefaultValue ? $" = {Literal(parameter.DefaultValue)}" : "")}";
    }

    private static string NameOf(ParameterInfo parameter) => Annotated(parameter.ParameterType, new NullabilityInfoContext().Create(parameter));

    private static string NameOf(PropertyInfo property) => Annotated(property.PropertyType, new NullabilityInfoContext().Create(property));

    private static string NameOf(Type type)
    {
        if (Keywords.TryGetValue(type, out var keyword))
        {
            return keyword;
        }

        if (type.IsArray)
        {
            return NameOf(type.GetElementType()!) + "[]";
        }

        var name = type.IsNested && !type.IsGenericParameter ? $"{NameOf(type.DeclaringType!)}.{type.Name}" : type.Name;
        return type.IsGenericType ? $"{name[..name.IndexOf('`')]}<{string.Join(", ", type.GetGenericArguments().Select(NameOf))}>" : name;
    }

    private static string Annotated(Type type, NullabilityInfo nullability)
    {
        if (type.IsByRef)
        {
            return Annotated(type.GetElementType()!, nullability);
        }

        if (Nullable.GetUnderlyingType(type) is { } underlying)
        {
            return NameOf(underlying) + "?";
        }

        // Of a type parameter it is not known: T and T? look the same.
        var state = nullability.ReadState == NullabilityState.Unknown ? nullability.WriteState : nullability.ReadState;
        var mark = state == NullabilityState.Nullable && !type.IsValueType && !type.IsGenericParameter ? "?" : "";
        if (type.IsArray && nullability.ElementType is { } element)
        {
            return Annotated(type.GetElementType()!, element) + "[]" + mark;
        }

        if (!type.IsGenericType || nullability.GenericTypeArguments.Length == 0)
        {
            return NameOf(type) + mark;
        }

        var arguments = type.GetGenericArguments().Zip(nullability.GenericTypeArguments, Annotated);
        return $"{type.Name[..type.Name.IndexOf('`')]}<{string.Join(", ", arguments)}>{mark}";
    }

    private static string Literal(object? value) => value switch
    {
        null => "default",
        string text => $"\"{text}\"",
        bool flag => flag ? "true" : "false",
        _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
    };
}
