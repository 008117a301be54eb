"""Replay equals live: the demo capture over a veth pair gives the records of `hoptap replay`."""

import sys
from pathlib import Path

import pytest

from tests.command import DEMO_CAPTURE, comparable, replay, write_config
from tests.lab.namespaces import CLIENT_INTERFACE, SERVER_INTERFACE, open_wire, wait_for
from tests.lab.sensor import listening

pytestmark = pytest.mark.namespace

SEND_TIMEOUT_S = 60


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_live_equals_replay(workers: int, tmp_path: Path) -> None:
    out = tmp_path / "hop.ndjson"
    config = write_config(tmp_path, capture={"workers": workers})
    expected = replay(config, [DEMO_CAPTURE], tmp_path / "replay.ndjson")
    send = (sys.executable, "-m", "tests.lab.send", str(DEMO_CAPTURE), CLIENT_INTERFACE)
    with (
        open_wire(offloads=False) as wire,
        listening(wire.server, SERVER_INTERFACE, config, out, workers) as sensor,
    ):
        wire.client.run(*send, timeout_s=SEND_TIMEOUT_S)
        wait_for(lambda: len(sensor.records()) >= len(expected), f"{len(expected)} records")
        found = sensor.stop()
    ours, theirs = comparable(found, times=False), comparable(expected, times=False)
    assert list((ours - theirs).elements()) == []
    assert list((theirs - ours).elements()) == []
