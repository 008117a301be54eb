"""Replay equals live: a capture over a veth pair gives the records of `hoptap replay`.

Also one of TLS whose every key comes half a second after its handshake.
"""

import json
import sys
from pathlib import Path

import pytest

from tests.command import DEMO_CAPTURE, Record, comparable, replay, write_config
from tests.lab.namespaces import CLIENT_INTERFACE, SERVER_INTERFACE, open_wire, wait_for
from tests.lab.sensor import listening
from tests.packaged import capture_of, unpacked

pytestmark = pytest.mark.namespace

SEND_TIMEOUT_S = 60
LATE_MS = "500"


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
    assert_same(found, expected)


# Not the chain without ids: what is weighed by time may come out otherwise at other times.
@pytest.mark.parametrize("name", ["chain-small-tls", "direct-tls13-pyvmomi"])
def test_late_keys_change_nothing(name: str, tmp_path: Path) -> None:
    keys, late, out = (tmp_path / each for each in ("keys.log", "late.log", "hop.ndjson"))
    for log in (keys, late):
        log.touch(0o600)
    keys.write_bytes(unpacked(name, "keys.log.gz"))
    config = write_config(tmp_path, keys={"decrypt": True, "logs": [str(late)]})
    options = ("--keys", str(keys))
    expected = replay(config, [capture_of(name)], tmp_path / "replay.ndjson", *options)
    assert {each["visibility"] for each in expected} == {"decrypted"}
    send = (sys.executable, "-m", "tests.lab.send", str(capture_of(name)), CLIENT_INTERFACE)
    keys_late = ("--keys", str(keys), "--keys-to", str(late), "--keys-late-ms", LATE_MS)
    with (
        open_wire(offloads=False) as wire,
        listening(wire.server, SERVER_INTERFACE, config, out) as sensor,
    ):
        wire.client.run(*send, *keys_late, timeout_s=SEND_TIMEOUT_S)
        wait_for(lambda: len(sensor.records()) >= len(expected), f"{len(expected)} records")
        found = sensor.stop()
    assert_same(*map(without_confidence, (found, expected)))


def without_confidence(records: list[Record]) -> list[Record]:
    """Without operation ids time ranks who caused what, and the wire has times of its own."""

    def plain(each: Record) -> Record:
        return {name: value for name, value in each.items() if name != "confidence"}

    return [json.loads(json.dumps(each), object_hook=plain) for each in records]


def assert_same(found: list[Record], expected: list[Record]) -> None:
    ours, theirs = comparable(found, times=False), comparable(expected, times=False)
    assert list((ours - theirs).elements()) == []
    assert list((theirs - ours).elements()) == []
