"""./dev demo: an incident, played to the router by the scripted API server; or a real cluster.

demo.py [--speed N]            the incident
demo.py --cluster [CONTEXT]    the cluster of the usual kubeconfig, read-only

The router prints its table and posts warnings to a small receiver in this program, which shows what it
gets. Ends on Ctrl-C; without a terminal by itself within 30 seconds."""
import _thread
import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import incident

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
from er_fake_client import ErFake, FakeError, kubeconfig  # noqa: E402 (the path comes first)
from http_server import Handler, Server  # noqa: E402

BIN = pathlib.Path(os.environ.get("ER_BIN_DIR", ROOT / "build/release/bin"))
TERMINAL = sys.stdout.isatty()
COLOUR = TERMINAL and "NO_COLOR" not in os.environ
LIMIT_S = 28  # without a terminal

PRINTING = threading.Lock()


def say(text="", colour=None):
    """Whole lines only; when nobody reads them any more, that is as Ctrl-C."""
    text = fold(text)
    with PRINTING:
        try:
            sys.stdout.write(f"\x1b[{colour}m{text}\x1b[0m\n" if COLOUR and colour
                             else f"{text}\n")
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            _thread.interrupt_main()


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def fold(text):
    """On a terminal: broken between words, so that its end is seen; further lines are indented."""
    width = shutil.get_terminal_size((120, 24)).columns
    if not TERMINAL or len(plain(text)) <= width or "\n" in text:
        return text
    lines, current = [], ""
    for word in re.findall(r" *[^ ]+", text):
        if current and len(plain(current + word)) > width:
            lines.append(current)
            current = " " * 13 + word.lstrip()  # below LAST SEEN
        else:
            current += word
    return "\n".join([*lines, current])


def tell(text):
    say()
    say(f"== {text}", "1;36")


class Receiver:
    """A webhook's receiver; one line per request."""

    def __init__(self):
        receiver = self
        self.up, self.seen, self.refused = True, {}, 0

        class Post(Handler):
            def do_POST(self):
                self.answer(receiver.take(self, self.body()))

        self.url = f"{Server(Post).url}/warnings"

    def take(self, request, body):
        record, key = json.loads(body), request.headers["Idempotency-Key"]
        if not self.up:
            self.refused += 1
            if self.refused == 1:
                say("   receiver: 503, come back later", "31")
            return 503
        self.seen[key] = record
        thing = record.get("object", {})
        about = f'{thing.get("kind", "").lower()}/{thing.get("name", "")}' if thing else record["kind"]
        say(f'   receiver: {request.command} {request.path} {key[:14]}…{key[-6:]}  '
            f'{record["severity"]} {record["reason"]} {about} x{record.get("count", 1)}', "35")
        return 200


class Process:
    """A program whose output is read by a thread, line by line."""

    def __init__(self, arguments, on_out, on_err):
        # In a session of its own: Ctrl-C is for us, and we end it in order.
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace",
                                        start_new_session=True)
        self.threads = [threading.Thread(target=self.read, args=pair, daemon=True) for pair in
                        ((self.process.stdout, on_out), (self.process.stderr, on_err))]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def read(stream, on_line):
        for line in stream:
            on_line(line.rstrip("\n"))

    def end(self, seconds):
        """Asks it to end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for thread in self.threads:
            thread.join(2)
        return code


class Router:
    """The router with a table on the screen and a webhook for warnings."""

    def __init__(self, directory, receiver, kubernetes, cluster):
        self.log, self.log_path = [], directory / "router.log"
        self.path = directory / "config.yaml"
        config = {
            "log": {"format": "json"}, "admin": {"listen": "127.0.0.1:0"},
            "kubernetes": kubernetes, "shutdown": {"grace": "1s"},
            "routes": [
                {"name": "everything", "sinks": ["table"]},
                {"name": "warnings", "match": {"severity": ["WARNING", "ERROR"]},
                 "sinks": ["receiver"]}],
            "sinks": {
                "table": {"type": "stdout", "format": "text",
                          "color": "always" if COLOUR else "never"},
                "receiver": {"type": "webhook", "url": receiver.url,
                             "queue": {"overflow": "drop_oldest"},
                             "retry": {"initial": "200ms", "max": "1s"}}}}
        if cluster:
            config["cluster"] = cluster
        self.path.write_text(json.dumps(config, indent=1))
        self.process = None

    def start(self):
        def log(line):
            self.log.append(line)
            with open(self.log_path, "a") as file:
                file.write(line + "\n")
        self.process = Process([BIN / "eventrouter", "run", "-c", self.path], say, log)

    def end(self):
        code = self.process.end(5)
        if code != 0:
            say(f"the router ended with {code}; its log: {self.log_path}", "31")
            for line in self.log[-5:]:
                say(f"  {line}")
        return code

    def ledger(self):
        for line in reversed(self.log):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if found.get("message") == "ledger":
                return found
        return None


def show_ledger(router):
    ledger = router.ledger()
    if ledger is None:
        return False
    say()
    say("== the ledger: enqueued = delivered + rejected + dropped + queued + in flight", "1;36")
    names = ["enqueued", "delivered", "rejected", "dropped", "queued", "inFlight"]
    say("   " + "sink".ljust(10) + "".join(name.rjust(11) for name in names))
    balances = ledger["records"] == (ledger["routed"] + ledger["unrouted"] +
                                     ledger["droppedByRoute"])
    for sink in ledger["sinks"]:
        say("   " + sink["sink"].ljust(10) + "".join(str(sink[name]).rjust(11) for name in names))
        balances = balances and sink["enqueued"] == sum(sink[name] for name in names[1:])
    say(f'   {ledger["records"]} records were made; the ledger '
        + ("balances." if balances else "DOES NOT BALANCE."))
    return balances


def stamp():
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ"), now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def play_incident(directory, speed):
    receiver, fake = Receiver(), ErFake(BIN)
    (directory / "kubeconfig").write_text(kubeconfig(fake.api))
    router = Router(directory, receiver, {"kubeconfig": str(directory / "kubeconfig")}, "demo")
    failed = False
    say("A scripted API server plays an incident. The router prints the table of all Events and posts")
    say("the warnings to a receiver, whose requests are shown as \"receiver:\". Ctrl-C ends it.")
    say()
    try:
        router.start()
        fake.wait("watches open >= 1", 10)
        begun = time.monotonic()
        for second, step in incident.STORY:
            time.sleep(max(0, begun + second / speed - time.monotonic()))
            if isinstance(step, str):
                tell(step)
            elif step[0] == "receiver":
                receiver.up = step[1]
            else:
                fake.script(incident.line(step, *stamp()))
        time.sleep(max(0, begun + incident.END / speed - time.monotonic()))
        time.sleep(1)  # what is on its way to the screen
    except KeyboardInterrupt:
        say()
    except (FakeError, OSError) as failure:
        say(f"{failure}; what the router said:\n  " + "\n  ".join(router.log[-5:]), "31")
        failed = True
    code = 1 if router.end() != 0 or failed else 0
    fake.close()
    balanced = show_ledger(router)
    if balanced and code == 0:
        say(f"   The receiver has {len(receiver.seen)} warnings; it said 503 {receiver.refused} times in between.")
        say()
        say("That was it. Next: `./dev demo --cluster` for a cluster of yours, README.md for the rest.")
    return 0 if code == 0 and balanced else 1


def watch_cluster(directory, context):
    receiver = Receiver()
    kubernetes = {"context": context} if context else {}
    router = Router(directory, receiver, kubernetes, "demo")
    named = subprocess.run([BIN / "eventrouter", "check", "-c", router.path, "--cluster"],
                           capture_output=True, text=True, check=False)
    if named.returncode != 0:
        say(named.stderr.splitlines()[-1], "31")
        return 2
    say(named.stdout.rstrip())
    # In records the cluster has the context's name, which people know, and not a uid.
    credentials = named.stdout.splitlines()[1]
    _, said, name = credentials.rpartition(", context ")
    router = Router(directory, receiver, kubernetes, name if said else "in-cluster")
    say("Its Events are listed and watched, and namespace kube-system is asked for its uid; nothing is")
    say("written. Ctrl-C ends it"
        + ("." if TERMINAL else f", or {LIMIT_S} seconds."))
    say()
    told = set()
    try:
        router.start()
        end = time.monotonic() + (float("inf") if TERMINAL else LIMIT_S - 3)
        while time.monotonic() < end and router.process.process.poll() is None:
            time.sleep(0.1)
            warn_of_trouble(router, told)
    except KeyboardInterrupt:
        say()
    code = router.end()
    return 0 if show_ledger(router) and code == 0 else 1


def warn_of_trouble(router, told):
    """What keeps the table empty is in the log: say it once."""
    for text in router.log:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if line["severity"] in ("WARNING", "ERROR") and line["message"] not in told:
            told.add(line["message"])
            say(f'   router: {line["message"]}: {line.get("error", "")}', "33")


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__.split("\n")[0])
    parser.add_argument("--cluster", nargs="?", const="", metavar="CONTEXT",
                        help="watch the cluster of your kubeconfig, read-only")
    parser.add_argument("--speed", type=float, default=0.7 if TERMINAL else 1.15,
                        help="how fast the incident is played")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="eventrouter-demo-") as name:
        directory = pathlib.Path(name)
        if options.cluster is not None:
            return watch_cluster(directory, options.cluster)
        return play_incident(directory, options.speed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
