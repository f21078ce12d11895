"""Fixtures of the end-to-end tests: a real control plane, the router, a webhook receiver.

Run by ./dev e2e. A real server that cannot be had here skips its tests, with the reason."""
import os
import re
import shutil
import subprocess

import pytest

import kube
import programs
from fake import Fake

GO_WANTED = (1, 26)


def build_programs():
    """Builds the control plane when it is missing or stale; the reason when that cannot be."""
    for tool in ("openssl", "curl"):
        if not shutil.which(tool):
            return f"no {tool}"
    go = shutil.which("go")
    if not go:
        return "no Go: 1.26 or newer builds the control plane"
    found = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False,
                           env={**os.environ, "GOTOOLCHAIN": "local"}).stdout
    version = re.match(r"go(\d+)\.(\d+)", found)
    if not version or tuple(map(int, version.groups())) < GO_WANTED:
        return f"{found.strip() or 'this Go'} is too old: 1.26 or newer builds the control plane"
    done = subprocess.run(["nice", kube.CONTROLPLANE, "build"], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        return "the control plane cannot be built: " + done.stderr.strip()[-300:]
    return None


@pytest.fixture(scope="session")
def control_plane_programs():
    reason = build_programs()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def cluster(control_plane_programs, tmp_path_factory):
    """A control plane of its own for each test file."""
    one = kube.Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        one.up()
        yield one
    finally:
        one.down()


@pytest.fixture
def fake():
    one = Fake()
    yield one
    one.close()


@pytest.fixture
def receiver():
    one = programs.Receiver()
    yield one
    one.close()


@pytest.fixture
def start_router(tmp_path):
    """start_router(config text) -> Router, in a folder of its own if need be; what still runs at the
    end is killed."""
    started = []

    def start(config, folder=tmp_path, **more):
        started.append(programs.Router(folder, config, **more))
        return started[-1]

    yield start
    for router in started:
        router.kill()
