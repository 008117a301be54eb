"""The evidence log of a live sensor that is killed in the middle, and started again."""

import json
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.certificates import public_half, signing_key
from tests.command import DEMO_CAPTURE, hoptap, write_config
from tests.lab.namespaces import CLIENT_INTERFACE, SERVER_INTERFACE, open_wire
from tests.lab.sensor import listening

pytestmark = pytest.mark.namespace

RUNS = 2  # of which all but the last are killed
SEND = (sys.executable, "-m", "tests.lab.send", str(DEMO_CAPTURE), CLIENT_INTERFACE)


def records(directory: Path) -> int:
    """In all files of the log."""
    count = 0
    for path in logs(directory):
        with suppress(FileNotFoundError):  # rotated in between: the next look counts it
            count += path.read_bytes().count(b'"schema":"hop/1"')
    return count


def logs(directory: Path) -> list[Path]:
    return list(directory.glob("evidence*.ndjson"))


def test_a_killed_sensor_leaves_a_chain_that_goes_on(tmp_path: Path) -> None:
    key, log = signing_key(tmp_path / "evidence.key"), tmp_path / "evidence.ndjson"
    evidence = {
        "file": str(log),
        "key_file": str(key),
        "checkpoint_records": 10,
        "rotate_bytes": 60_000,
    }
    kept: list[str] = []
    with open_wire(offloads=False) as wire:
        for run in range(RUNS):
            out = tmp_path / f"hop{run}.ndjson"
            config = write_config(tmp_path, output={"ndjson": str(out)}, evidence=evidence)
            with listening(wire.server, SERVER_INTERFACE, config, out) as sensor:
                before = records(tmp_path)
                sending = wire.client.start(*SEND)
                while records(tmp_path) < before + 25:
                    assert sensor.process.poll() is None and sending.poll() in (None, 0)
                if run < RUNS - 1:
                    sensor.process.send_signal(signal.SIGKILL)
                    sensor.process.wait(20)
                assert sending.wait(60) == 0
                if run == RUNS - 1:
                    sensor.stop()
                kept += re.findall(r"evidence: checkpoint (\d+:\w+)", sensor.log.read_text())
    files = logs(tmp_path)
    heads = [option for head in kept for option in ("--head", head)]
    assert len(kept) >= RUNS
    public = public_half(key, tmp_path / "evidence.pub")
    said = hoptap("verify", *files, "--key", public, *heads).stdout
    assert "each follows from the one before" in said and "the log was closed" in said
    marks = [
        (mark["evidence"], mark.get("reason"))
        for file in files
        for mark in map(json.loads, file.read_text().splitlines())
        if "evidence" in mark
    ]
    assert marks.count(("open", "new")) == 1 and marks.count(("open", "started")) == RUNS - 1
    assert marks.count(("close", "stopped")) == 1  # those that were killed closed nothing
