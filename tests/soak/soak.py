"""The router under a load that changes, with faults of all sorts, for minutes: does it stay as it was?

    soak.py MINUTES [VALGRIND_MINUTES]

Cycles of the same load are played against the ASan build and the release build side by side, then
against the release build under valgrind. At the end of each cycle the router comes to rest, and its
descriptors and memory are read. Failures: a report of ASan or valgrind, an exit code, a ledger that
does not balance, descriptors that differ, memory of the release build that grows (of the ASan build
it is only told: what is freed stays in its quarantine). One JSON line a build."""
import collections
import json
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("ER_BIN_DIR", str(ROOT / "build/release/bin"))
sys.path.insert(0, str(ROOT / "tests/scenario"))
from conftest import Fake, Router, merge  # noqa: E402

SLOPE_MAX = 1.0  # MiB per hour, of the release build
SLOPE_AFTER = 8  # minutes that must have been watched before that is judged: shorter ones are noise
SETTLE = 0.2  # of the time: queues, tables and the allocator have found their size by then


class Soak:
    def __init__(self, name, binary, scale, minutes, prefix=(), env=None):
        self.name, self.scale, self.minutes, self.problems = name, scale, minutes, []
        self.samples = []  # (seconds, descriptors, resident KiB), one a cycle
        self.folder = tempfile.TemporaryDirectory(prefix="soak-")
        self.fake = Fake()
        self.command, self.env = [*prefix, ROOT / "build" / binary / "bin/eventrouter"], env or {}
        self.router = None

    def config(self):
        def hook(name, **more):
            return merge({"type": "webhook", "url": f"{self.fake.sinks}/{name}",
                          "retry": {"initial": "20ms", "max": "200ms"},
                          "timeout": {"connect": "2s", "request": "5s"}}, more)
        return {
            "log": {"level": "info"},
            "routes": [
                {"name": "noise", "match": {"reason": "re:^Noise[0-9]+$"}, "drop": True},
                {"name": "table", "match": {"namespace": ["so*", "!soak-not-?"]}, "sinks": ["table"]},
                {"name": "all", "sinks": ["single", "batch", "archive"]},
            ],
            "sinks": {
                "single": hook("single", queue={"records": 300, "overflow": "drop_oldest"}),
                "batch": hook("batch", batch={"records": 100, "linger": "10ms"}, queue={"records": 1000}),
                "table": {"type": "stdout", "format": "text"},
                "archive": {"type": "file", "path": f"{self.folder.name}/archive.ndjson",
                            "rotate": {"size": "4MiB", "keep": 2}},
            },
            "state": {"path": f"{self.folder.name}/state"},
        }

    def cycle(self, number):
        """The load of one cycle, about 15 s: rates from 20 to 1000 a second, and every fault."""
        def burst(name, seconds, rate, more=""):
            count = max(1, int(seconds * rate * self.scale))
            return (f"burst {count} prefix {name}-{number} namespace soak "
                    f"rate {max(1, int(rate * self.scale))} {more}\n")

        back = self.fake.state()["version"]
        watching = "wait watches open >= 1 timeout 20s\n"
        self.fake.script(
            burst("slow", 2, 20) + watching + "watches reset\n" +
            "sink single hang\n" + burst("fast", 1, 1000) + "sink single resume\nsink single clear\n"
            "sink single answer 503 times 3\nsink batch refuse times 2\n" +
            burst("again", 1, 100, "steps 3") +
            "sink batch hang\n" + burst("hung", 1, 300) + watching + "watches clean\nsink batch resume\n"
            "sink batch clear\n"
            "sink single reset 200 times 2\nsink batch reset 5000 times 2\n" +
            burst("cut", 1, 100, "reason=Noise7") +
            "sink single answer 429 retry-after 1 times 1\nsink single answer 400 times 2\n"
            "sink batch answer 413 times 2\n"
            "fault probe status 500\nfault watch cut 3 frames 20 bytes reset\n" +
            watching + "watches fin\n" +
            burst("status", 1, 200, 'message="é中😀 \\x01 \\xff"') +
            watching + "forbid all\nwatches reset\nsleep 300ms\nallow all\n" +
            watching + "api pause\nwatches reset\n" + burst("missed", 0.2, 100, "steps 2") +
            "fault list status 429 retry-after 1\ncompact now\napi resume\n" +
            burst("after", 1, 200))
        if number % 4 == 3:
            self.fake.script(f"rewind {back}\n" + burst("rewound", 0.5, 100))
        self.fake.script(f"sinks cut\nclear\nexpire all namespace=soak\nput end-{number}.a\n"
                         f"modify end-{number}.a count=2")

    def rest(self):
        """Waits until nothing moves any more."""
        end, before = time.monotonic() + 120, None
        while time.monotonic() < end:
            metrics = self.router.metrics()

            def total(name):
                return sum(value for series, value in metrics.items()
                           if series.partition("{")[0] == f"eventrouter_{name}")
            now = total("records_total")
            if (now == before and total("watch_connected") == 1 and
                    total("sink_queue_records") == total("sink_in_flight_records") == 0):
                return
            before = now
            time.sleep(0.3)
        raise AssertionError(f"no rest after two minutes: {metrics}")

    def sample(self, begun):
        """The descriptors and memory seen most often in a second."""
        proc = pathlib.Path(f"/proc/{self.router.process.pid}")
        seen, resident = [], []
        for _ in range(20):
            time.sleep(0.05)
            seen.append(len(os.listdir(proc / "fd")))
            resident.append(int((proc / "status").read_text().split("VmRSS:")[1].split()[0]))
        fds = collections.Counter(seen).most_common(1)[0][0]
        self.samples.append((time.monotonic() - begun, fds, statistics.median(resident)))

    def play(self):
        # The table of totals takes its pages at once, not one by one over the first minutes.
        self.fake.script(f"burst {int(4000 * self.scale) + 1} prefix first namespace soak\n"
                         "expire all namespace=soak")
        folder = pathlib.Path(self.folder.name)
        self.router = Router(folder, self.fake.api, self.config(), env=self.env, command=self.command)
        try:
            begun, number = time.monotonic(), 0
            self.fake.wait("watches open >= 1", 60)
            while time.monotonic() - begun < 60 * self.minutes:
                self.cycle(number)
                self.rest()
                self.sample(begun)
                number += 1
        except Exception as error:  # the router is ended, and what it said is told, in any case
            self.problems.append(f"{type(error).__name__}: {str(error)[:2000]}")
        self.end()

    def end(self):
        code = self.router.stop()
        if code != 0:
            self.problems.append(f"exit code {code}")
        reports = [line["text"] for line in self.router.lines if line["message"] == "not JSON"]
        if reports:
            self.problems.append("reports:\n" + "".join(reports[:60]))
        else:
            try:
                self.router.ledger()
            except AssertionError as error:
                self.problems.append(f"the ledger does not balance: {error}")
        self.fake.close()
        self.folder.cleanup()

    def judge(self):
        settled = [sample for sample in self.samples if sample[0] >= 60 * self.minutes * SETTLE]
        fds = [fds for _, fds, _ in settled]
        slope = None
        if len(settled) < 2:
            self.problems.append(f"{len(self.samples)} cycles are too few to tell")
        else:
            seconds, resident = [s for s, _, _ in settled], [kib for _, _, kib in settled]
            slope = statistics.linear_regression(seconds, resident).slope * 3600 / 1024
            if len(set(fds)) != 1:
                self.problems.append(f"descriptors: {fds}")
            if (self.name == "release" and seconds[-1] - seconds[0] >= 60 * (SLOPE_AFTER - 1) and
                    slope >= SLOPE_MAX):
                self.problems.append(f"memory grows by {slope:.2f} MiB an hour")
        last = self.router.lines[-1]
        print(json.dumps({
            "soak": self.name, "minutes": self.minutes, "cycles": len(self.samples),
            "records": last.get("records"), "sinks": last.get("sinks"),
            "descriptors": fds[:1] + fds[-1:], "residentKiB": [kib for _, _, kib in self.samples],
            "slopeMiBPerHour": None if slope is None else round(slope, 3),
            "problems": self.problems}), flush=True)
        return not self.problems


def play_together(soaks):
    threads = [threading.Thread(target=soak.play) for soak in soaks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return all([soak.judge() for soak in soaks])


def main():
    minutes = float(sys.argv[1])
    valgrind = float(sys.argv[2]) if len(sys.argv) > 2 else max(1.0, minutes * 0.3)
    asan = ("halt_on_error=1:exitcode=66:detect_leaks=1:detect_stack_use_after_return=1:"
            "quarantine_size_mb=1:thread_local_quarantine_size_kb=16:malloc_context_size=5")
    good = play_together([
        Soak("asan", "asan", 0.5, minutes, env={"ASAN_OPTIONS": asan,
                                                "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}),
        Soak("release", "release", 1, minutes)])
    memcheck = ("valgrind", "-q", "--error-exitcode=67", "--leak-check=full", "--track-fds=no",
                "--errors-for-leak-kinds=definite,indirect", "--show-leak-kinds=definite,indirect")
    good = play_together([Soak("valgrind", "release", 0.05, valgrind, prefix=memcheck)]) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
