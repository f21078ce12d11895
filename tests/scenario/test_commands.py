"""The command line: what is said to whom, and how commands end."""
import json
import re
import socket
import subprocess

import pytest

from conftest import BIN, LIMIT, ROOT, Router

FIRST = str(ROOT / "config/examples/first.yaml")
CHECK = "Usage: eventrouter check -c FILE [--print] [--rbac] [--strict] [--cluster]\n"
STATE = "Usage: eventrouter state show|reset -c FILE|--path DIR [--json]\n"


def call(*arguments, stdout=subprocess.PIPE):
    done = subprocess.run([BIN / "eventrouter", *arguments], stdout=stdout, stderr=subprocess.PIPE,
                          text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_help():
    code, text, errors = call("help")
    assert (code, errors) == (0, "")
    assert call("--help") == call("-h") == (0, text, "")
    assert call() == (2, text, "")  # nothing was asked for
    usages = [re.split("  +", line.strip())[0] for line in text.splitlines() if line.startswith("  ")]
    assert {"run", "check", "explain", "version"} <= {usage.split()[0] for usage in usages}
    for usage in usages:
        command = usage.split()[0]
        code, said, errors = call(command, "--help")
        assert (code, errors) == (0, "")
        if command == "help":
            assert said == text
        else:
            title, empty, line, *options = said.splitlines()
            assert (title.startswith(f"eventrouter {command}: "), empty) == (True, "")
            assert line == f"Usage: eventrouter {usage}"
            assert call("help", command) == (0, said, "")
            named = re.findall(r"--[a-z]+", "\n".join(options))  # each is told, with what it does
            assert set(re.findall(r"--[a-z]+", usage)) == set(named) - {"--config"}
            assert ("--config" in named) == ("-c FILE" in usage)
            assert all(re.fullmatch(r"  \S.{22}  \S.*", option) for option in options[1:])
            assert call(command, "-c", FIRST, "-h") == (0, said, "")
            code, said, errors = call(command, "--nonsense")
            assert (code, said, errors.splitlines()[-1]) == (2, "", f"Usage: eventrouter {usage}")


def test_version():
    code, text, errors = call("version")
    assert (code, errors) == (0, "") and text.startswith("eventrouter ") and text.count("\n") == 1
    assert call("--version") == (0, text, "")


@pytest.mark.parametrize("arguments, said", [
    (["chekc"], 'eventrouter: there is no command "chekc"; did you mean "check"?\n'
                'Run "eventrouter help" for the commands.\n'),
    (["frobnicate"], 'eventrouter: there is no command "frobnicate"\n'
                     'Run "eventrouter help" for the commands.\n'),
    (["version", "x"], 'eventrouter version: takes no arguments, found "x"\n'
                       "Usage: eventrouter version\n"),
    (["run"], "eventrouter run: -c FILE is missing\nUsage: eventrouter run -c FILE\n"),
    (["check", "-c"], f"eventrouter check: -c needs a file\n{CHECK}"),
    (["check", "--config="], f"eventrouter check: --config needs a file\n{CHECK}"),
    (["check", "-c", ""], f"eventrouter check: -c needs a file\n{CHECK}"),
    (["run", "-c", "-"], "eventrouter run: -c needs a file, not standard input\nUsage: eventrouter run -c FILE\n"),
    (["check", "-c", FIRST, "--config", FIRST], f"eventrouter check: --config is given twice\n{CHECK}"),
    (["check", FIRST], f'eventrouter check: unknown argument "{FIRST}"\n{CHECK}'),
    (["check", "-c", FIRST, "--prnt"],
     f'eventrouter check: unknown argument "--prnt"; did you mean "--print"?\n{CHECK}'),
    (["check", "-c", FIRST, "--print=yes"],
     f'eventrouter check: unknown argument "--print=yes"\n{CHECK}'),
    (["check", f"-c={FIRST}"], f'eventrouter check: unknown argument "-c={FIRST}"\n{CHECK}'),
    (["help", "chekc"], 'eventrouter: there is no command "chekc"; did you mean "check"?\n'
                        'Run "eventrouter help" for the commands.\n'),
    (["help", "run", "check"], 'eventrouter help: one command at a time, found "check" as well\n'
                               "Usage: eventrouter help [COMMAND]\n"),
    (["--version", "x"], 'eventrouter version: takes no arguments, found "x"\n'
                         "Usage: eventrouter version\n"),
    (["state", "rest", "--path", "x"], 'eventrouter state: unknown argument "rest"; say show or reset\n'
                                       f"{STATE}"),
    (["state", "show", "reset"],
     f'eventrouter state: one show|reset at a time, found "reset" as well\n{STATE}'),
    (["state", "show", "--path"], f"eventrouter state: --path needs a directory\n{STATE}"),
    (["explain", "-c", FIRST, "a", "b"],
     'eventrouter explain: one FILE at a time, found "b" as well\n'
     "Usage: eventrouter explain -c FILE [FILE|-] [--payload]\n"),
    (["schema", "record", "x"],
     'eventrouter schema: one config|record|reference at a time, found "x" as well\n'
     "Usage: eventrouter schema config|record|reference\n"),
], ids=lambda value: " ".join(value)[:20] if isinstance(value, list) else "")
def test_wrong_usage(arguments, said):
    assert call(*arguments) == (2, "", said)


def test_an_option_with_its_value():
    assert call("check", f"--config={FIRST}") == call("check", "-c", FIRST)
    assert call("help", "--help") == call("help")


@pytest.mark.parametrize("text, code, said", [
    ("sinks: {a: {type: stdout}}\n", 0, "-: ok\n"),
    ("sinks: {a: {type: stdotu}}\n", 2, '-:1:19: error: sinks.a.type: '),
    ("#" * (1 << 20) + "#", 2, "-: error: stdin is larger than 1048576 bytes\n"),
], ids=["ok", "wrong", "large"])
def test_check_of_standard_input(text, code, said):
    done = subprocess.run([BIN / "eventrouter", "check", "-c", "-"], input=text, capture_output=True, text=True,
                          check=False, timeout=60)
    assert (done.returncode, done.stdout) == (code, "") and done.stderr.startswith(said)


@pytest.mark.parametrize("what", ["", "everything"])
def test_schema_of_what(what):
    code, text, errors = call("schema", *([what] if what else []))
    assert (code, text) == (2, "")
    assert errors.endswith("\nUsage: eventrouter schema config|record|reference\n")


@pytest.mark.parametrize("arguments", [["help"], ["version"], ["schema", "config"],
                                       ["check", "-c", FIRST, "--print"]], ids=" ".join)
def test_stdout_takes_nothing(arguments):
    """A full disk is a failure, and is said."""
    with open("/dev/full", "wb") as full:
        code, _, errors = call(*arguments, stdout=full)
    assert code == 1
    assert errors.endswith("eventrouter: cannot write to stdout: No space left on device\n")


def test_the_port_is_in_use(fake, tmp_path):
    """Said before anything is watched or written, and nothing has started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        r = Router(tmp_path, fake.api, {"admin": {"listen": at}, "sinks": {"a": {"type": "stdout"}}})
        assert r.process.wait(LIMIT) == r.stop() == 1
    assert [line["message"] for line in r.lines] == ["cannot start"]
    assert r.lines[0]["error"] == f"cannot listen on {at}: Address already in use; check admin.listen"
    assert fake.log() == []


def test_log_as_text(fake, tmp_path):
    """A line for people has the same facts as one for programs."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps({
        "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": fake.api}}],
        "contexts": [{"name": "c", "context": {"cluster": "c"}}]}))
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({
        "cluster": 'a "b"', "log": {"format": "text"}, "admin": {"listen": "127.0.0.1:0"},
        "kubernetes": {"kubeconfig": str(kubeconfig)}, "sinks": {"s": {"type": "stdout"}}}))
    process = subprocess.Popen([BIN / "eventrouter", "run", "-c", config], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    fake.wait("watches open >= 1")
    process.terminate()
    lines = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 0
    line = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) +[a-z]+: [^=]*[^= ]"
                      r'( \w+=("([^"\\]|\\.)*"|-?\d+|\[.*\]|\{.*\}))*')
    assert [text for text in lines if not line.fullmatch(text)] == []
    (known,) = [text for text in lines if "the cluster is known" in text]
    assert known[21:].startswith(r'INFO    watch: the cluster is known cluster="a \"b\"" clusterId="')
    assert re.search(r'ledger records=0 .* sinks=\[\{"sink":"s",.*\}\]$', lines[-1])
