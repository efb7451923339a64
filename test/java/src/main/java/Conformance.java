import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.AwsRequest;
import software.amazon.awssdk.awscore.AwsRequestOverrideConfiguration;
import software.amazon.awssdk.awscore.client.builder.AwsClientBuilder;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.awscore.retry.AwsRetryStrategy;
import software.amazon.awssdk.core.SdkField;
import software.amazon.awssdk.core.SdkPojo;
import software.amazon.awssdk.core.client.builder.SdkSyncClientBuilder;
import software.amazon.awssdk.core.protocol.MarshallingType;
import software.amazon.awssdk.core.traits.ListTrait;
import software.amazon.awssdk.core.traits.MapTrait;
import software.amazon.awssdk.core.util.SdkAutoConstructList;
import software.amazon.awssdk.core.util.SdkAutoConstructMap;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.personalize.PersonalizeClient;
import software.amazon.awssdk.services.personalizeevents.PersonalizeEventsClient;
import software.amazon.awssdk.services.personalizeruntime.PersonalizeRuntimeClient;
import software.amazon.awssdk.services.sts.StsClient;
import software.amazon.awssdk.utils.builder.Buildable;

/**
 * Calls operations with the published AWS clients for Java (SDK 2) and prints what they made of the answers. Its input and output are those of
 * test/js/conformance.mjs, but for {"$from"} and {"$repeat"}. The clients' own descriptions of their shapes (SdkField) say how JSON becomes their values.
 */
public final class Conformance {
    private record Service(Object client, Class<?> face, String models) {}

    private final JsonNode plan;
    private final Map<String, Service> services = new LinkedHashMap<>();

    private Conformance(JsonNode plan) {
        this.plan = plan;
        services.put("personalize", new Service(configured(PersonalizeClient.builder()), PersonalizeClient.class, "personalize"));
        services.put("personalize-runtime", new Service(configured(PersonalizeRuntimeClient.builder()), PersonalizeRuntimeClient.class, "personalizeruntime"));
        services.put("personalize-events", new Service(configured(PersonalizeEventsClient.builder()), PersonalizeEventsClient.class, "personalizeevents"));
        services.put("sts", new Service(configured(StsClient.builder()), StsClient.class, "sts"));
    }

    private <B extends AwsClientBuilder<B, C> & SdkSyncClientBuilder<B, C>, C> C configured(B builder) {
        return builder
                .httpClient(UrlConnectionHttpClient.create())
                .endpointOverride(URI.create(text("endpoint")))
                .region(Region.of(text("region")))
                .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create(text("accessKey"), text("secretKey"))))
                .overrideConfiguration(o -> o.retryStrategy(AwsRetryStrategy.doNotRetry()))
                .build();
    }

    private String text(String member) {
        return plan.asObject().get(member).asString();
    }

    public static void main(String[] args) throws Exception {
        Conformance c = new Conformance(JsonNode.parser().parse(System.in));
        List<Object> results = new ArrayList<>();
        for (JsonNode call : c.plan.asObject().get("calls").asArray()) {
            results.add(c.run(call.asObject()));
        }
        StringBuilder out = new StringBuilder();
        write(out, results);
        new PrintStream(System.out, true, StandardCharsets.UTF_8).print(out);
    }

    private Map<String, Object> run(Map<String, JsonNode> call) throws Exception {
        Service service = services.get(call.get("service").asString());
        String operation = call.get("operation").asString();
        Map<String, Object> result = new LinkedHashMap<>();
        Class<?> shape;
        try {
            shape = Class.forName("software.amazon.awssdk.services." + service.models + ".model." + operation + "Request");
        } catch (ClassNotFoundException e) {
            result.put("error", Map.of("name", "NoSuchRequest", "message", operation));
            return result;
        }
        SdkPojo builder = (SdkPojo) shape.getMethod("builder").invoke(null);
        if (call.get("input") != null && call.get("input").isObject()) {
            fill(builder, call.get("input"));
        }
        if (call.get("exception") != null) {
            ((AwsRequest.Builder) builder).overrideConfiguration(
                    AwsRequestOverrideConfiguration.builder().putHeader(text("header"), call.get("exception").asString()).build());
        }
        String method = operation.substring(0, 1).toLowerCase() + operation.substring(1);
        try {
            result.put("output", plain(service.face.getMethod(method, shape).invoke(service.client, ((Buildable) builder).build())));
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof AwsServiceException failed)) {
                throw e;
            }
            Map<String, Object> error = new LinkedHashMap<>();
            error.put("name", failed.awsErrorDetails().errorCode());
            error.put("message", failed.awsErrorDetails().errorMessage());
            error.put("status", failed.statusCode());
            error.put("requestId", failed.requestId());
            error.put("typed", failed.getClass().getSimpleName().equals(failed.awsErrorDetails().errorCode()));
            result.put("error", error);
        }
        return result;
    }

    /** Gives a builder the members of a JSON object. A member that the client does not know is an error of the test. */
    @SuppressWarnings("unchecked")
    private static void fill(SdkPojo builder, JsonNode object) {
        for (Map.Entry<String, JsonNode> member : object.asObject().entrySet()) {
            SdkField<Object> field = (SdkField<Object>) builder.sdkFields().stream()
                    .filter(f -> f.memberName().equals(member.getKey())).findFirst()
                    .orElseThrow(() -> new IllegalArgumentException(builder.getClass().getName() + " has no member " + member.getKey()));
            field.set(builder, value(field, member.getValue()));
        }
    }

    private static Object value(SdkField<?> field, JsonNode v) {
        MarshallingType<?> type = field.marshallingType();
        if (type == MarshallingType.LIST) {
            List<Object> list = new ArrayList<>();
            v.asArray().forEach(item -> list.add(value(field.getTrait(ListTrait.class).memberFieldInfo(), item)));
            return list;
        }
        if (type == MarshallingType.MAP) {
            Map<String, Object> map = new LinkedHashMap<>();
            v.asObject().forEach((key, item) -> map.put(key, value(field.getTrait(MapTrait.class).valueFieldInfo(), item)));
            return map;
        }
        if (type == MarshallingType.SDK_POJO) {
            SdkPojo builder = field.constructor().get();
            fill(builder, v);
            return ((Buildable) builder).build();
        }
        if (type == MarshallingType.INSTANT) {
            return Instant.ofEpochMilli((long) Double.parseDouble(v.asObject().get("$date").asNumber()));
        }
        if (type == MarshallingType.BOOLEAN) {
            return v.asBoolean();
        }
        if (type == MarshallingType.STRING) {
            return v.asString();
        }
        double number = Double.parseDouble(v.asNumber());
        if (type == MarshallingType.INTEGER) {
            return (int) number;
        }
        if (type == MarshallingType.LONG) {
            return (long) number;
        }
        if (type == MarshallingType.FLOAT) {
            return (float) number;
        }
        if (type == MarshallingType.DOUBLE) {
            return number;
        }
        throw new IllegalArgumentException("no value of type " + type);
    }

    /** Turns what a client made of an answer into maps, lists, texts, numbers and booleans. Members that were not answered are left out. */
    private static Object plain(Object v) {
        if (v instanceof SdkPojo shape) {
            Map<String, Object> out = new LinkedHashMap<>();
            for (SdkField<?> field : shape.sdkFields()) {
                Object item = field.getValueOrDefault(shape);
                if (item != null && !(item instanceof SdkAutoConstructList) && !(item instanceof SdkAutoConstructMap)) {
                    out.put(field.memberName(), plain(item));
                }
            }
            return out;
        }
        if (v instanceof List<?> list) {
            return list.stream().map(Conformance::plain).toList();
        }
        if (v instanceof Map<?, ?> map) {
            Map<String, Object> out = new LinkedHashMap<>();
            map.forEach((key, item) -> out.put(key.toString(), plain(item)));
            return out;
        }
        if (v instanceof Instant at) {
            return Map.of("$date", at.toEpochMilli());
        }
        return v;
    }

    private static void write(StringBuilder out, Object v) {
        if (v instanceof Map<?, ?> map) {
            String comma = "{";
            for (Map.Entry<?, ?> member : map.entrySet()) {
                out.append(comma);
                write(out, member.getKey());
                out.append(':');
                write(out, member.getValue());
                comma = ",";
            }
            out.append(map.isEmpty() ? "{}" : "}");
        } else if (v instanceof List<?> list) {
            String comma = "[";
            for (Object item : list) {
                out.append(comma);
                write(out, item);
                comma = ",";
            }
            out.append(list.isEmpty() ? "[]" : "]");
        } else if (v instanceof String text) {
            out.append('"');
            for (char c : text.toCharArray()) {
                if (c == '"' || c == '\\') {
                    out.append('\\').append(c);
                } else if (c < 0x20) {
                    out.append(String.format("\\u%04x", (int) c));
                } else {
                    out.append(c);
                }
            }
            out.append('"');
        } else {
            out.append(v);
        }
    }
}
