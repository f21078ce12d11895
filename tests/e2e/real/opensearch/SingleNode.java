import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/**
 * One OpenSearch node from its library jars: HTTP from the class path, no installation.
 * Arguments: its home, then settings as key=value. Ends with SIGTERM.
 */
public final class SingleNode extends Node {
    private SingleNode(Settings settings, Path config) {
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), config, () -> "node"),
              List.of(Netty4Plugin.class), true);
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]);
        Settings.Builder settings = Settings.builder().put("path.home", home.toString());
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            if (equals > 0) {
                settings.put(argument.substring(0, equals), argument.substring(equals + 1));
            }
        }
        Node node = new SingleNode(settings.build(), home.resolve("config"));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (java.io.IOException e) {
                e.printStackTrace();
            }
        }));
        node.start();
        Thread.currentThread().join();
    }
}
