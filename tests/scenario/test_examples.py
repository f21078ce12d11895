"""The examples of config/examples, each with what becomes of the records it is about.

tests/golden/examples/NAME.txt is what explain says of NAME.ndjson; ER_GOLDEN_OUT=1 writes it anew."""
import os
import subprocess

import pytest

from conftest import BIN, LIMIT, ROOT

GOLDEN = ROOT / "tests/golden/examples"
INPUTS = sorted(GOLDEN.glob("*.ndjson"))


@pytest.mark.parametrize("records", INPUTS, ids=lambda path: path.stem)
def test_explained(records):
    done = subprocess.run([BIN / "eventrouter", "explain", "-c",
                           ROOT / "config/examples" / (records.stem + ".yaml"), records],
                          capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    golden = records.with_suffix(".txt")
    if os.environ.get("ER_GOLDEN_OUT"):
        golden.write_text(done.stdout)
    assert done.stdout == golden.read_text()
    assert done.stdout.count("\n\n") == len(records.read_text().splitlines())
