import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** java KafkaAdmin.java BROKER COMMAND...: topic:NAME:PARTITIONS[:KEY=VALUE], deny:USER:TOPIC, undeny:USER:TOPIC. */
public class KafkaAdmin {
    static AclBinding denial(String user, String topic) {
        return new AclBinding(
            new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL),
            new AccessControlEntry("User:" + user, "*", AclOperation.WRITE, AclPermissionType.DENY));
    }

    static void run(Admin admin, String[] words) throws Exception {
        switch (words[0]) {
            case "topic" -> {
                Map<String, String> settings = new HashMap<>();
                for (int i = 3; i < words.length; i++) {
                    String[] pair = words[i].split("=", 2);
                    settings.put(pair[0], pair[1]);
                }
                NewTopic topic = new NewTopic(words[1], Integer.parseInt(words[2]), (short) 1);
                admin.createTopics(List.of(topic.configs(settings))).all().get();
            }
            case "deny" -> admin.createAcls(List.of(denial(words[1], words[2]))).all().get();
            case "undeny" ->
                admin.deleteAcls(List.of(denial(words[1], words[2]).toFilter())).all().get();
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments[0],
            "default.api.timeout.ms", "60000", "request.timeout.ms", "10000");
        try (Admin admin = Admin.create(settings)) {
            for (int i = 1; i < arguments.length; i++) {
                run(admin, arguments[i].split(":"));
            }
        }
    }
}
