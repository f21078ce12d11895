"""A real Apache Kafka broker on loopback: one node, KRaft, its jars from Maven."""
import os
import pathlib
import shutil
import signal
import subprocess

import programs

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
CURRENT, WITH_OLD_SCRAM = "4.4.0", "3.9.1"  # the last line that takes SCRAM of librdkafka below 2.6.1
JAVA = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
USER, PASSWORD = "router", "secret"

PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},\
SASL://127.0.0.1:{sasl},MTLS://127.0.0.1:{mtls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MTLS:SSL
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
log.dirs={folder}/data
auto.create.topics.enable=false
# The records' times are those of the Events, which may be old.
log.retention.ms=-1
producer.id.expiration.ms=2147483647
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# Else a broker that was killed is not let in again for 9 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.io.buffer.size=262144
num.network.threads=2
num.io.threads=2
background.threads=2
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.crt
listener.name.mtls.ssl.client.auth=required
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
required user_{user}="{password}" user_denied="{password}";
listener.name.sasl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
unsecuredLoginStringClaim_sub="{user}";
"""


def why_not(version):
    """None when the jars of this version are there; else the reason why they cannot be had."""
    libs = CACHE / f"eventrouter-e2e/kafka-{version}"
    for tool in ("java", "mvn", "openssl"):
        if not shutil.which(tool):
            return f"no {tool}: Kafka needs Java 17 and Maven"
    if libs.exists():
        return None
    fresh = libs.with_suffix(".fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    shutil.copy(HERE / "real/kafka/pom.xml", fresh)
    done = subprocess.run(["mvn", "-q", "-B", "-f", fresh / "pom.xml", f"-Dkafka.version={version}",
                           "dependency:copy-dependencies", f"-DoutputDirectory={fresh}",
                           "-DincludeScope=runtime"], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"Kafka {version} cannot be had: " + (done.stdout + done.stderr).strip()[-300:]
    fresh.rename(libs)
    return None


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_ca(folder):
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=e2e ca",
            "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", folder / "ca.key",
            "-out", folder / "ca.crt")


def make_certificate(folder, name, common_name, extensions):
    """NAME.crt and NAME.key, signed by the folder's CA; each is replaced at once."""
    fresh = folder / f"{name}.fresh"
    (folder / f"{name}.ext").write_text(extensions)
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={common_name}",
            "-keyout", f"{fresh}.key", "-out", f"{fresh}.csr")
    openssl("x509", "-req", "-in", f"{fresh}.csr", "-CA", folder / "ca.crt", "-CAkey",
            folder / "ca.key", "-CAcreateserial", "-days", "30", "-extfile",
            folder / f"{name}.ext", "-out", f"{fresh}.crt")
    os.rename(f"{fresh}.crt", folder / f"{name}.crt")
    os.rename(f"{fresh}.key", folder / f"{name}.key")


class Kafka:
    def __init__(self, folder, version=CURRENT):
        self.folder, self.libs = folder, CACHE / f"eventrouter-e2e/kafka-{version}"
        self.process = None
        plain, controller, sasl, mtls = programs.free_ports(4)
        self.plain, self.sasl, self.mtls = (f"127.0.0.1:{port}" for port in (plain, sasl, mtls))
        make_ca(folder)
        make_certificate(folder, "server", "localhost",
                         "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        make_certificate(folder, "client", USER, "extendedKeyUsage=clientAuth\n")
        (folder / "server.pem").write_text("".join(
            (folder / name).read_text() for name in ("server.key", "server.crt", "ca.crt")))
        (folder / "server.properties").write_text(PROPERTIES.format(
            plain=plain, controller=controller, sasl=sasl, mtls=mtls, folder=folder, user=USER,
            password=PASSWORD))
        self._java("kafka.tools.StorageTool", "format", "--standalone", "-t",
                   "AAAAAAAAAAAAAAAAAAAAAg", "-c", folder / "server.properties",
                   *(word for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512") for word in
                     ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")))
        self.start()

    def _java(self, *arguments):
        done = subprocess.run([*JAVA, "-cp", f"{self.libs}/*", *map(str, arguments)],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def start(self):
        """Returns at once; clients wait for it."""
        with open(self.folder / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                [*JAVA, "-cp", f"{self.libs}/*", "kafka.Kafka", self.folder / "server.properties"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(60)

    def admin(self, *commands):
        """topic:NAME:PARTITIONS[:KEY=VALUE], deny:USER:TOPIC, undeny:USER:TOPIC."""
        self._java(HERE / "real/kafka/KafkaAdmin.java", self.plain, *commands)

    def read(self, topic):
        """The output of er_kafka: a JSON line for each message, in the order of partitions."""
        done = subprocess.run([os.path.join(programs.BIN_DIR, "er_kafka"), "read", self.plain, topic],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def close(self):
        if self.process.poll() is None:
            self.kill()
