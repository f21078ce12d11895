"""Configurations through `eventrouter check`: bad ones with their golden messages, hostile ones,
and what is made from the same rows: the effective configuration, the JSON Schema, the reference.

tests/golden/config/bad/NAME.yaml must give exactly NAME.err, good/NAME.yaml no word. A new message
is looked at by a person:
    cd tests/golden/config && eventrouter check -c bad/NAME.yaml 2>bad/NAME.err"""
import ctypes
import json
import os
import pathlib
import resource
import subprocess

import jsonschema
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("ER_BIN_DIR", ROOT / "build/dev/bin")) / "eventrouter"
GOLDEN = ROOT / "tests/golden/config"
BAD = sorted(path.stem for path in (GOLDEN / "bad").glob("*.yaml"))
GOOD = sorted((GOLDEN / "good").glob("*.yaml")) + sorted((ROOT / "config/examples").glob("*.yaml"))
SANITIZERS = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}


def run(*args, cwd=GOLDEN, env=None, seconds=60, preexec_fn=None):
    """Code, stdout and stderr as bytes; nothing of the caller's environment tells secrets."""
    done = subprocess.run([str(BIN), *map(str, args)], cwd=cwd, capture_output=True, check=False,
                          timeout=seconds, stdin=subprocess.DEVNULL, preexec_fn=preexec_fn,
                          env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **SANITIZERS,
                               **(env or {})})
    return done.returncode, done.stdout, done.stderr


def check(tmp_path, text, *args, **options):
    """Of a text as the file x.yaml."""
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "x.yaml").write_bytes(data)
    return run("check", "-c", "x.yaml", *args, cwd=tmp_path, **options)


def test_there_are_enough_bad_files():
    assert len(BAD) >= 95


@pytest.mark.parametrize("name", BAD)
def test_bad(name):
    code, out, err = run("check", "-c", f"bad/{name}.yaml")
    assert err.decode() == (GOLDEN / f"bad/{name}.err").read_text(encoding="utf-8")
    assert code == 2
    assert out == b""


@pytest.mark.parametrize("name", BAD)
def test_bad_is_not_run(name):
    """`run` says the same, with the same code, and starts nothing."""
    code, out, err = run("run", "-c", f"bad/{name}.yaml")
    assert err.decode() == (GOLDEN / f"bad/{name}.err").read_text(encoding="utf-8")
    assert code == 2
    assert out == b""


# What is made to hurt, and the first line of the answer.
ANCHOR = ("anchors (&name) and aliases (*name) are not supported; write the value out, or put a text "
          'that begins with "&" or "*" in quotes')
DEEP = "more than 64 maps and lists inside each other"
HOSTILE = {
    "anchor bomb": (b"a: &a [x,x]\n" + b"".join(
        b"%c: &%c [*%c,*%c]\n" % (c, c, c - 1, c - 1) for c in range(ord("b"), ord("z"))),
        f"x.yaml:1:4: error: {ANCHOR}"),
    "100 KB of [": (b"[" * 100_000, f"x.yaml:1:65: error: {DEEP}"),
    "1 MB of {a:": (b"{a: " * 250_000, f"x.yaml:1:257: error: {DEEP}"),
    "1 MB of -": (b"- " * 500_000, f"x.yaml:1:129: error: {DEEP}"),
    "NUL": (b"\0" * 1000,
            "x.yaml:1:1: error: a NUL byte; the file is binary, or UTF-16: save it as UTF-8"),
    "two documents": (b"sinks: {a: {type: stdout}}\n---\nsinks: {a: {type: stdout}}\n",
                      "x.yaml:2:1: error: a second document begins here; a configuration is one "
                      "document"),
    "1 MiB scalar": (b"cluster: " + b"x" * ((1 << 20) - 10) + b"\n",
                     "x.yaml:1:10: error: this text has 1048566 bytes; at most 262144 are allowed"),
    "over 1 MiB": (b"#" * ((1 << 20) + 1),
                   "x.yaml: error: x.yaml is larger than 1048576 bytes"),
    "many nodes": (b"a: [" + b"x," * 500_000 + b"]\n",
                   "x.yaml:1:39999: error: more than 20000 keys and values; the file is too large"),
    "many duplicates": (b"cluster: x\n" * 9_000,
                        'x.yaml:2:1: error: duplicate key "cluster"; the first is on line 1'),
    "not UTF-8": (b"cluster: \xed\xa0\x80\n",
                  "x.yaml:1:10: error: the byte 0xED is not UTF-8; save the file as UTF-8"),
    "terminal escapes": (b'"\\e[2J\\u009b": 1\n',
                         'x.yaml:1:1: error: the key "sinks" is missing; it is a map (NAME: {type: '
                         "KIND, ...})"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(tmp_path, name):
    """Refused at once: a second of CPU is twenty times what the worst of them needs. Sanitizers
    are given more; what is quadratic would need minutes there too."""
    text, first_line = HOSTILE[name]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, out, err = check(tmp_path, text)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert err.decode().splitlines()[0] == first_line
    assert code == 2
    assert out == b""
    assert len(err) < 64 << 10
    assert not any(byte < 32 and byte != 10 for byte in err)
    assert after.ru_utime - before.ru_utime < (20 if SANITIZERS else 1)


def test_files_that_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert run("check", "-c", "none", cwd=tmp_path) == (
        2, b"", b"none: error: cannot open none: No such file or directory\n")
    assert run("check", "-c", ".", cwd=tmp_path) == (
        2, b"", b".: error: . is not a regular file\n")
    assert run("check", "-c", "fifo", cwd=tmp_path) == (
        2, b"", b"fifo: error: fifo is not a regular file\n")


def test_warnings(tmp_path):
    """A literal is named, not shown; with --strict a warning is an error."""
    text = ("sinks:\n  hook:\n    type: webhook\n    url: https://hooks.example/\n"
            "    auth: {bearer: hunter2}\n")
    expected = (b"x.yaml:5:20: warning: sinks.hook.auth.bearer: a secret stands in the file; "
                b"{file: PATH} or {env: NAME} keeps it out of it\n"
                b"    5 |     auth: {bearer: ***}\n"
                b"      |                    ^\n")
    assert check(tmp_path, text) == (0, b"", expected + b"x.yaml: ok, 1 warning\n")
    assert check(tmp_path, text, "--strict") == (
        2, b"", expected + b"x.yaml: 1 warning; with --strict that is an error\n")


def test_routes_of_what_is_not_watched(tmp_path):
    """A kind that a route asks for by its name, and that cannot come; not of one that drops it."""
    text = ("watch: {events: {enabled: %s}, deployments: {enabled: %s}, pods: {enabled: %s}}\n"
            "routes:\n"
            "  - {match: {kind: [event, rollout]}, drop: true}\n"
            "  - {match: {kind: [event, change, restart, gap, notice]}, sinks: [out]}\n"
            "  - {match: {kind: ['!restart', rollout]}, sinks: [out]}\n"
            "sinks: {out: {type: stdout}}\n")

    def warned(*enabled):
        code, out, err = check(tmp_path, text % enabled)
        assert (code, out) == (0, b"")
        return [line.split(": warning: ")[1] for line in err.decode().splitlines()
                if ": warning: " in line]
    assert warned("true", "true", "true") == []
    assert warned("true", "false", "true") == [
        "routes[1].match.kind: no record is of kind change, since watch.deployments.enabled is false",
        "routes[2].match.kind: no record is of kind rollout, since watch.deployments.enabled is false"]
    assert warned("false", "true", "false") == [
        "routes[1].match.kind: no record is of kind event, since watch.events.enabled is false",
        "routes[1].match.kind: no record is of kind restart, since watch.pods.enabled is false"]


def test_print_says_what_it_masks_in_urls(tmp_path):
    """One that prints as if there were no password would be taken for the whole."""
    for url, printed in (("https://u:pw@h.example:1/x?token=abc#f", "https://***@h.example:1/x?***"),
                         ("https://h.example/x#f", "https://h.example/x#***"),
                         ("https://u@h.example", "https://***@h.example"),
                         ("https://h.example/a@b", "https://h.example/a@b")):
        code, out, _err = check(tmp_path, f"sinks: {{a: {{type: webhook, url: '{url}'}}}}", "--print")
        assert code == 0
        assert yaml.safe_load(out)["sinks"]["a"]["url"] == printed
        assert check(tmp_path, out, "--print")[1] == out


PLANTED = "hunter2-PLANTED"
PLANTS = """\
sinks:
  bearer: {type: webhook, url: "http://127.0.0.1:9/", auth: {bearer: PLANTED}}
  basic:
    type: webhook
    url: http://127.0.0.1:9/
    auth: {basic: {username: u, password: 'PLANTED'}}
  inside: {type: webhook, url: "http://127.0.0.1:9/x?token=PLANTED"}
  header:
    type: webhook
    url: http://127.0.0.1:9/
    headers:
      X-Api-Key: |-
        PLANTED
""".replace("PLANTED", PLANTED)
# A mistake on the line of a secret, beside it or above it.
MISTAKES = [("bearer: {type", "bearer: {tpye"), ("auth: {bearer", "auth: {baerer"),
            ("auth: {basic", "auth: {baisc"), ("username: u", "username: []"),
            ("headers:", "header:"), ("'}}", "}}"), ("type: webhook", "type: webhok"),
            ("X-Api-Key", "X Api Key"), ("sinks:", "sinkz:"), (":9/x", ":x/x"),
            ("http://127.0.0.1:9/x", "htp://127.0.0.1:9/x"),
            ("http://", f"http://u:{PLANTED}@:")]


def test_a_planted_secret_is_never_written(tmp_path):
    for args in (["check"], ["check", "--print"], ["check", "--strict"]):
        code, out, err = check(tmp_path, PLANTS, *args[1:])
        assert code == (2 if "--strict" in args else 0), err
        assert err.count(b": warning: ") >= 3
        assert PLANTED.encode() not in out + err
    assert b"***" in check(tmp_path, PLANTS, "--print")[1]


@pytest.mark.parametrize("old,new", MISTAKES)
def test_a_planted_secret_beside_a_mistake(tmp_path, old, new):
    assert old in PLANTS
    text = PLANTS.replace(old, new)
    for command in ("check", "run"):
        (tmp_path / "x.yaml").write_text(text)
        code, out, err = run(command, "-c", "x.yaml", cwd=tmp_path)
        assert (code, out) == (2, b"")
        assert b": error: " in err
        assert PLANTED.encode() not in err


def test_a_planted_secret_is_not_logged(tmp_path):
    """`run` ends at once: there is no API server to be had."""
    (tmp_path / "x.yaml").write_text(PLANTS + "kubernetes: {kubeconfig: /nonexistent/kubeconfig}\n"
                                     "log: {level: debug, format: json}\n")
    code, out, err = run("run", "-c", "x.yaml", cwd=tmp_path)
    assert code != 0
    assert b"/nonexistent/kubeconfig" in err
    assert PLANTED.encode() not in out + err


MISSING = """\
sinks:
  hook:
    type: webhook
    url: https://hooks.example/
    tls: {caFile: none/ca.pem, certFile: none/cert.pem, keyFile: none/key.pem}
    auth: {bearer: {file: none/token}}
    headers: {X-Tenant: {env: NO_TENANT}}
  siem:
    type: elasticsearch
    url: {env: NO_URL}
    index: k8s-events
  idp:
    type: webhook
    url: https://hooks.example/
    auth: {oauth2: {tokenUrl: 'https://idp.example/', clientId: c, clientSecret: {file: none/secret},
                    tls: {caFile: none/idp.pem}}}
"""
NO_FILE = "cannot open none/%s: No such file or directory"
MISSED = [
    f"5:19: sinks.hook.tls.caFile: {NO_FILE % 'ca.pem'}",
    f"5:42: sinks.hook.tls.certFile: {NO_FILE % 'cert.pem'}",
    f"5:66: sinks.hook.tls.keyFile: {NO_FILE % 'key.pem'}",
    f"6:27: sinks.hook.auth.bearer: {NO_FILE % 'token'}",
    "7:31: sinks.hook.headers.X-Tenant: environment variable NO_TENANT is not set",
    "10:16: sinks.siem.url: environment variable NO_URL is not set",
    f"15:89: sinks.idp.auth.oauth2.clientSecret: {NO_FILE % 'secret'}",
    f"16:35: sinks.idp.auth.oauth2.tls.caFile: {NO_FILE % 'idp.pem'}",
]


def said(err, kind):
    """Of all problems of a kind: "LINE:COLUMN: path: message"."""
    return [line.removeprefix("x.yaml:").replace(f": {kind}: ", ": ", 1)
            for line in err.decode().splitlines() if f": {kind}: " in line]


def test_everything_that_is_missing_is_named(tmp_path):
    """For check a warning each: it may be there where the router runs. There it is the end."""
    code, out, err = check(tmp_path, MISSING)
    assert (code, out) == (0, b"")
    assert said(err, "warning") == MISSED
    assert check(tmp_path, MISSING, "--strict")[0] == 2
    code, out, err = run("run", "-c", "x.yaml", cwd=tmp_path)
    assert (code, out) == (2, b"")
    assert (said(err, "error"), said(err, "warning")) == (MISSED, [])


def test_what_is_missing_is_named_beside_errors(tmp_path):
    text = MISSING + "  out: {type: stdot}\n"
    code, _out, err = check(tmp_path, text)
    assert code == 2
    assert said(err, "warning") == MISSED
    assert len(said(err, "error")) == 1


def test_what_is_there_is_not_missed(tmp_path):
    """A file that is no secret may be longer than one, and end in several lines."""
    (tmp_path / "token").write_text("hunter2\n")
    (tmp_path / "x.log").write_text("")
    assert check(tmp_path, "sinks: {a: {type: webhook, url: 'https://h.example/', "
                           "auth: {bearer: {file: token}}, headers: {X-A: {env: HERE}}}}",
                 env={"HERE": "x"}) == (0, b"", b"x.yaml: ok\n")
    (tmp_path / "token").write_text("\n")
    code, _out, err = run("check", "-c", "x.yaml", cwd=tmp_path, env={"HERE": ""})
    assert code == 0
    assert [line.split(": ", 1)[1] for line in said(err, "warning")] == [
        "sinks.a.auth.bearer: token is empty",
        "sinks.a.headers.X-A: environment variable HERE is empty"]


def without_override():
    """Root, too, is then asked for its rights (PR_CAPBSET_DROP of CAP_DAC_*)."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):
        libc.prctl(24, capability, 0, 0, 0)


PLACES = """\
sinks:
  none: {type: file, path: none/dir/a.ndjson}
  closed: {type: file, path: closed/a.ndjson}
  theirs: {type: file, path: theirs}
  dir: {type: file, path: dir}
  link: {type: file, path: link}
  fifo: {type: file, path: fifo}
  under: {type: file, path: token/a.ndjson}
  good: {type: file, path: dir/a.ndjson}
  here: {type: file, path: a.ndjson}
  there: {type: file, path: token}
"""
NO_PLACE = [
    "2:28: sinks.none.path: cannot write none/dir/a.ndjson: the directory none/dir does not exist",
    "3:30: sinks.closed.path: cannot write closed/a.ndjson: the directory closed: Permission denied",
    "4:30: sinks.theirs.path: cannot write theirs: Permission denied",
    "5:27: sinks.dir.path: cannot write dir: it is a directory",
    "6:28: sinks.link.path: cannot write link: it is a symbolic link, which is not followed",
    "7:28: sinks.fifo.path: cannot write fifo: it is no regular file",
    "8:29: sinks.under.path: cannot write token/a.ndjson: Not a directory",
]
STATES = {
    "state": [], "state/": [], "dir": [],
    "none/state/": ["12:15: state.path: cannot write none/state/: the directory none does not exist"],
    "closed": ["12:15: state.path: cannot write closed: Permission denied"],
    "closed/state": ["12:15: state.path: cannot write closed/state: the directory closed: "
                     "Permission denied"],
    "token": ["12:15: state.path: cannot write token: it is no directory"],
}


@pytest.mark.parametrize("state", STATES)
def test_places_that_cannot_be_written(tmp_path, state):
    """A warning, at a start as well: there the sink waits, and a store that is missing is done without."""
    (tmp_path / "token").write_text("")
    (tmp_path / "theirs").touch(mode=0o444)
    (tmp_path / "link").symlink_to("token")
    (tmp_path / "dir").mkdir()
    (tmp_path / "closed").mkdir(mode=0o555)
    os.mkfifo(tmp_path / "fifo")
    before = sorted(tmp_path.rglob("*"))
    expected = NO_PLACE + STATES[state]
    code, out, err = check(tmp_path, f"{PLACES}state: {{path: {state}}}\n", preexec_fn=without_override)
    assert (code, out, said(err, "warning"), said(err, "error")) == (0, b"", expected, [])
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "x.yaml"])  # it only looked
    with open(tmp_path / "x.yaml", "a", encoding="utf-8") as file:
        file.write("kubernetes: {kubeconfig: none/kubeconfig}\n")
    code, out, err = run("run", "-c", "x.yaml", cwd=tmp_path, preexec_fn=without_override)
    assert (code, out, said(err, "warning")) == (2, b"", [])
    assert said(err, "error") == ["13:26: kubernetes.kubeconfig: cannot open none/kubeconfig: "
                                  "No such file or directory"]


# What is legal and hardly meant: the settings, and what is said of each.
VERIFY = ("the certificate is not verified: whoever sits between can read and change everything; "
          "caFile is the way to trust one of your own")
REGEX = 'this is a text with * and ?, not a regular expression; for one write "re:%s"'
TYPE = 'the type of Events is Normal or Warning, written so; did you mean "%s"?'
OBJECT = 'kinds of objects begin with a capital letter; did you mean "%s"?'
DOLLAR = "variables are not expanded here: this is taken as it stands; write the value itself"
DOLLAR_URL = ("variables are not expanded here; write {env: NAME}, where the variable holds the "
              "whole URL")
IN_FILE = "a secret stands in the file; {file: PATH} or {env: NAME} keeps it out of it"
CLEAR = "the credentials are sent in clear over http://; write https://"
ADVICE = [
    ("sinks: {a: {type: webhook, url: 'https://h.example/', tls: {insecureSkipVerify: true}}}",
     [("sinks.a.tls.insecureSkipVerify", VERIFY)]),
    ("sinks: {a: {type: kafka, brokers: 'h:9092', topic: t, securityProtocol: ssl, "
     "tls: {insecureSkipVerify: true}}}", [("sinks.a.tls.insecureSkipVerify", VERIFY)]),
    ("sinks: {a: {type: webhook, url: 'https://h.example/', auth: {oauth2: {tokenUrl: "
     "'https://i.example/', clientId: c, clientSecret: {env: HOOK_PASSWORD}, "
     "tls: {insecureSkipVerify: true}}}}}", [("sinks.a.auth.oauth2.tls.insecureSkipVerify", VERIFY)]),
    ("sinks: {a: {type: webhook, url: 'https://h.example/', tls: {insecureSkipVerify: false}}}", []),
    ("sinks: {a: {type: webhook, url: 'http://h.example/', auth: {bearer: {env: NEW}}}}",
     [("sinks.a.url", CLEAR)]),
    ("sinks: {a: {type: webhook, url: 'http://u:p@10.127.0.1/'}}", [
        ("sinks.a.url", IN_FILE), ("sinks.a.url", CLEAR)]),
    ("sinks: {a: {type: webhook, url: 'https://h.example/@', proxy: 'http://u:p@proxy.example:3128'}}",
     [("sinks.a.proxy", IN_FILE)]),
    ("sinks: {a: {type: elasticsearch, index: x, url: 'https://h.example/', moreUrls: "
     "['https://i.example/', 'http://j.example/'], auth: {apiKey: {value: {env: NEW}}}}}",
     [("sinks.a.moreUrls[1]", CLEAR)]),
    ("sinks: {a: {type: webhook, url: 'https://h.example/', auth: {oauth2: {tokenUrl: "
     "'http://i.example/', clientId: c, clientSecret: {env: NEW}}}}}",
     [("sinks.a.auth.oauth2.tokenUrl",
       "the client's secret is sent in clear over http://; write https://")]),
    ("sinks: {a: {type: webhook, url: 'http://h.example/u@x'},\n"
     "  b: {type: webhook, url: 'http://localhost:1/', auth: {bearer: {env: NEW}}},\n"
     "  c: {type: webhook, url: 'http://[::1]:1/', auth: {bearer: {env: NEW}}},\n"
     "  d: {type: webhook, url: 'http://127.3.2.1/', auth: {bearer: {env: NEW}}}}", []),
    ("routes: [{match: {type: Warn}, sinks: a}]\nsinks: {a: {type: stdout}}",
     [("routes[0].match.type", TYPE % "Warning")]),
    ("routes: [{match: {type: ['!normal', Normal, 'Warn*', 're:^w']}, sinks: a}]\n"
     "sinks: {a: {type: stdout}}", [("routes[0].match.type[0]", TYPE % "Normal")]),
    ("routes: [{match: {object: {kind: [Pod, '!pod', 'replica*', 're:^p', '*set']}}, sinks: a}]\n"
     "sinks: {a: {type: stdout}}", [("routes[0].match.object.kind[1]", OBJECT % "Pod"),
                                    ("routes[0].match.object.kind[2]", OBJECT % "Replica*")]),
    ("routes: [{match: {reason: ['Failed|BackOff', '!^Back.*', 'Fail*', 're:a|b'], namespace: '^kube-.*$',\n"
     "  object: {kind: 'Pod|Node'}, message: 'a|b (c)'}, sinks: a}]\nsinks: {a: {type: stdout}}",
     [("routes[0].match.reason[0]", REGEX % "Failed|BackOff"), ("routes[0].match.reason[1]", REGEX % "^Back.*"),
      ("routes[0].match.namespace", REGEX % "^kube-.*$"), ("routes[0].match.object.kind", REGEX % "Pod|Node")]),
    ("cluster: $CLUSTER\nsinks: {a: {type: stdout}}", [("cluster", DOLLAR)]),
    ("cluster: 'a-$(CLUSTER)'\nsinks: {a: {type: stdout}}", [("cluster", DOLLAR)]),
    ("cluster: 'a$b-$1-$-$A-${-$'\nsinks: {a: {type: stdout}}", []),
    ("sinks: {a: {type: webhook, url: 'https://${HOST}/x'}}", [("sinks.a.url", DOLLAR_URL)]),
    ("sinks: {a: {type: webhook, url: 'http://h.example/${HOST}', auth: {bearer: {env: NEW}}}}",
     [("sinks.a.url", DOLLAR_URL), ("sinks.a.url", CLEAR)]),
    ("sinks: {a: {type: webhook, url: 'https://h.example/x', headers: {X-Tag: '${TAG:-x}'}}}",
     [("sinks.a.headers.X-Tag", "variables are not expanded here; write {env: NAME}")]),
    ("sinks: {a: {type: webhook, url: 'https://h.example/x', headers: {X-Tag: 'pa$WORD'}}}", []),
    ("watch: {deployments: {enabled: true, names: ['$NAME']}}\nsinks: {a: {type: stdout}}",
     [("watch.deployments.names[0]", DOLLAR)]),
    ("routes: [{match: {message: ['re:^x$', '$HOME']}, sinks: a}]\nsinks: {a: {type: stdout}}", []),
]


@pytest.mark.parametrize("text,expected", ADVICE)
def test_advice(tmp_path, text, expected):
    """check warns at the setting's place; a start logs the same, as a line like all others."""
    code, out, err = check(tmp_path, text, env=SECRETS)
    assert (code, out) == (0, b"")
    places = [line.split(": ", 1) for line in said(err, "warning") if ": routes: no route" not in line]
    assert [tuple(rest.split(": ", 1)) for _, rest in places] == expected
    (tmp_path / "kubeconfig").write_text("")
    more = "\nlog: {format: json}\nkubernetes: {kubeconfig: kubeconfig}\n"
    (tmp_path / "x.yaml").write_text(text + more)
    code, out, err = run("run", "-c", "x.yaml", cwd=tmp_path, env=SECRETS)
    lines = [json.loads(line) for line in err.splitlines()]
    assert [(line["severity"], line["setting"], line["error"], f"{line['line']}:{line['column']}")
            for line in lines if line["message"] == "a setting may not be what was meant" and line["setting"] != "routes"] == [
        ("WARNING", *says, at) for says, (at, _) in zip(expected, places)]


EVERYTHING = {
    "cluster": "prod: eu1 #1", "log": {"level": "warning", "format": "text"},
    "admin": {"listen": "127.0.0.1:9090"},
    "kubernetes": {"kubeconfig": __file__, "context": "admin", "namespaces": ["a", "b"]},
    "watch": {"timeout": "20s", "idleTimeout": "40s", "backoff": {"initial": "1ms", "max": "1h"},
              "events": {"enabled": True, "startFrom": "now", "fieldSelector": "type=Warning"}},
    "notices": {"window": "1500ms"}, "shutdown": {"grace": 0},
    "routes": [
        {"name": "noise", "match": {"kind": "event", "reason": ["Pulled", "re:^Cre.*$"],
                                    "object": {"kind": ["Pod", "!Node"], "apiVersion": "v1"},
                                    "source": {"host": "n?"}, "count": 3}, "drop": True},
        {"match": {"type": "Warning", "message": ["a \"b\"\\\n\u2028\u00e9", "~", "yes", "1"]},
         "sinks": ["out", "hook", "siem"], "final": True},
        {"sinks": "out"},
    ],
    "sinks": {
        "out": {"type": "stdout", "format": "text", "color": "never",
                "queue": {"records": 1, "bytes": 1048577, "overflow": "drop_newest"}},
        "hook": {"type": "webhook", "url": {"env": "HOOK_URL"},
                 "timeout": {"connect": "1s", "request": "60m"},
                 "retry": {"initial": "1ms", "max": "24h", "maxAge": "4m"},
                 "batch": {"records": 7, "bytes": "64KiB", "linger": "5ms"},
                 "tls": {"serverName": "h.example", "minVersion": "1.3"},
                 "auth": {"basic": {"username": "u", "password": {"env": "HOOK_PASSWORD"}}},
                 "headers": {"X-Tenant": {"env": "TENANT"}}, "compression": "gzip",
                 "format": "ndjson",
                 "sign": {"type": "standard-webhooks", "keys": [{"env": "NEW"}, {"env": "OLD"}]}},
        "siem": {"type": "webhook", "url": "https://siem.example/", "format": "cloudevents",
                 "auth": {"oauth2": {"tokenUrl": "https://idp.example/token", "clientId": "a b",
                                     "clientSecret": {"env": "HOOK_PASSWORD"},
                                     "scopes": ["a", "b:c/d"], "audience": "https://siem.example/",
                                     "clientAuth": "body", "tls": {"minVersion": "1.3"}}}},
    },
}
SECRETS = {"HOOK_URL": "https://hooks.example/", "HOOK_PASSWORD": "hunter2", "TENANT": "blue",
           "NEW": f"whsec_{'bmV3' * 8}", "OLD": f"whsec_{'b2xk' * 8}"}


def as_file(config):
    """JSON is YAML; U+2028 must be escaped, as json does."""
    return json.dumps(config)


def test_print_loads_again(tmp_path):
    """What --print writes is accepted without a word and prints the same: nothing is lost."""
    code, first, err = check(tmp_path, as_file(EVERYTHING), "--print", env=SECRETS)
    assert (code, err) == (0, b"x.yaml: ok\n")
    code, again, err = check(tmp_path, first, "--print", env=SECRETS)
    assert (code, err) == (0, b"x.yaml: ok\n")
    assert again == first
    assert b"hunter2" not in first and b"whsec" not in first
    for line in (b'cluster: "prod: eu1 #1"', b"  grace: 0", b"      count: 3", b"    final: true",
                 b'        - "a \\"b\\"\\\\\\n\\u2028\xc3\xa9"', b'        - "yes"', b'        - "1"',
                 b"      bytes: 1048577", b"      overflow: drop_newest", b"    url: {env: HOOK_URL}",
                 b"      maxAge: 4m", b'      minVersion: "1.3"',
                 b"        password: {env: HOOK_PASSWORD}", b"      X-Tenant: {env: TENANT}",
                 b"        - {env: NEW}", b"        clientAuth: body"):
        assert line in first.splitlines()


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good(tmp_path, path):
    """Accepted; --print writes what loads again and prints itself."""
    code, first, err = run("check", "-c", path, "--print", env=SECRETS)
    assert code == 0
    assert b": error: " not in err
    if path.parent.name == "good":
        assert err.decode() == f"{path}: ok\n"
    code, again, err = check(tmp_path, first, "--print", env=SECRETS)
    assert code == 0, err
    assert again == first


@pytest.fixture(scope="module")
def schema():
    code, out, err = run("schema", "config")
    assert (code, err) == (0, b"")
    made = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def test_schema_accepts_what_is_accepted(schema):
    assert not [error.message for error in schema.iter_errors(EVERYTHING)]


@pytest.mark.parametrize("path", [path for path in GOOD if path.stem != "empty_values"],
                         ids=lambda path: path.stem)
def test_schema_accepts_good_files(schema, path):
    """All but keys without a value: there an editor may say that one is missing."""
    config = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    assert not [error.message for error in schema.iter_errors(config)]


@pytest.mark.parametrize("name", [name for name in BAD if name.startswith("key_") and
                                  "duplicate" not in name])
def test_schema_refuses_unknown_keys(schema, name):
    config = yaml.safe_load((GOLDEN / f"bad/{name}.yaml").read_text(encoding="utf-8"))
    assert not schema.is_valid(config)


def test_made_files_are_fresh():
    for name, path in (("reference", "reference.md"), ("config", "config.schema.json")):
        assert run("schema", name) == (0, (ROOT / "config" / path).read_bytes(), b"")


# A change of EVERYTHING (path and value) that the program and the schema both refuse.
REFUSED = [
    (["clustr"], "x"),
    (["sinks"], {}),
    (["cluster"], 5 * ["x"]),
    (["log", "level"], "loud"),
    (["watch", "events", "enabled"], "true"),
    (["watch", "timeout"], 20),
    (["watch", "timeout"], "20 s"),
    (["shutdown", "grace"], "1d"),
    (["routes"], {}),
    (["routes", 0, "match", "count"], "3"),
    (["routes", 0, "match", "count"], 0),
    (["routes", 0, "match", "knd"], "event"),
    (["routes", 0, "match", "kind"], [["event"]]),
    (["sinks", "out", "type"], "stdot"),
    (["sinks", "out", "url"], "https://hooks.example/"),
    (["sinks", "out", "queue", "records"], 0),
    (["sinks", "out", "queue", "bytes"], "8MB"),
    (["sinks", "hook", "url"], "hooks.example"),
    (["sinks", "hook", "url"], {"file": "a", "env": "B"}),
    (["sinks", "hook", "url"], None),
    (["sinks", "hook", "auth", "basic", "password"], {"env": "A-B"}),
    (["sinks", "hook", "auth", "basic", "password"], ""),
    (["sinks", "hook", "headers", "X-Tenant"], ["blue"]),
    (["sinks", "hook", "tls", "minVersion"], "1.1"),
    (["sinks", "hook", "sign", "keys"], []),
    (["sinks", "hook", "sign", "keys"], {"env": "A"}),
    (["sinks", "hook", "sign", "keys", 0], {"env": "A-B"}),
    (["sinks", "hook", "compression"], True),
    (["sinks", "siem", "auth", "oauth2", "scopes"], {"a": "b"}),
]


@pytest.mark.parametrize("path,value", REFUSED, ids=lambda v: json.dumps(v))
def test_schema_refuses_what_is_refused(tmp_path, schema, path, value):
    config = json.loads(json.dumps(EVERYTHING))
    at = config
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    code, out, err = check(tmp_path, as_file(config), env=SECRETS)
    assert (code, out) == (2, b"")
    errors = [line for line in err.decode().splitlines() if line.startswith("x.yaml:1:")]
    named = [key for key in path if isinstance(key, str)][-1]
    assert len(errors) == 1 and ": error: " in errors[0] and named in errors[0]
    assert not schema.is_valid(config)


def test_reference_names_every_key(schema):
    """Each key of the schema stands in a table of the reference."""
    code, out, err = run("schema", "reference")
    assert (code, err) == (0, b"")
    rows = {line.split("`")[1].rsplit(".", 1)[-1] for line in out.decode().splitlines()
            if line.startswith("| `")}

    def keys(node):
        for key, below in node.get("properties", {}).items():
            yield key
            yield from keys(below)
        for part in ("items", "additionalProperties"):
            if isinstance(node.get(part), dict):
                yield from keys(node[part])
        for below in node.get("oneOf", []):
            yield from keys(below)

    assert set(keys(schema.schema)) - {"type"} == rows - {"type"}
    assert len(rows) > 40
