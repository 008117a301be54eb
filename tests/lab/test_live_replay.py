"""Replay equals live: a capture over a veth pair gives the records of `hoptap replay`.

Also one of TLS whose every key comes half a second after its handshake.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command import DEMO_CAPTURE, Record, comparable, replay, write_config
from tests.lab.namespaces import CLIENT_INTERFACE, SERVER_INTERFACE, Namespace, open_wire, wait_for
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


@pytest.mark.parametrize(
    "name", ["chain-small-tls", "chain-small-noopid-tls", "direct-tls13-pyvmomi"]
)
def test_late_keys_change_nothing(name: str, tmp_path: Path) -> None:
    """Packets sent again have times of their own: what tcpdump saw of them is replayed."""
    keys, late, out = (tmp_path / each for each in ("keys.log", "late.log", "hop.ndjson"))
    for log in (keys, late):
        log.touch(0o600)
    keys.write_bytes(unpacked(name, "keys.log.gz"))
    config = write_config(tmp_path, keys={"decrypt": True, "logs": [str(late)]})
    options = ("--keys", str(keys))
    recorded = replay(config, [capture_of(name)], tmp_path / "recorded.ndjson", *options)
    assert {each["visibility"] for each in recorded} == {"decrypted"}
    send = (sys.executable, "-m", "tests.lab.send", str(capture_of(name)), CLIENT_INTERFACE)
    keys_late = ("--keys", str(keys), "--keys-to", str(late), "--keys-late-ms", LATE_MS)
    with (
        open_wire(offloads=False) as wire,
        listening(wire.server, SERVER_INTERFACE, config, out) as sensor,
        captured(wire.server, tmp_path / "live.pcap") as capture,
    ):
        wire.client.run(*send, *keys_late, timeout_s=SEND_TIMEOUT_S)
        expected_actions = actions(recorded)
        wait_for(
            lambda: actions(sensor.records()) >= expected_actions, f"{expected_actions} actions"
        )
        found = sensor.stop()
    expected = replay(config, [capture], tmp_path / "replay.ndjson", *options)
    assert_same(found, expected, times=True)


def actions(records: list[Record]) -> int:
    return sum(each["kind"] == "action" for each in records)


@contextmanager
def captured(host: Namespace, file: Path) -> Iterator[Path]:
    """What tcpdump sees there, with the kernel's times of each packet, as the sensor has them."""
    sockets = host.packet_sockets()
    options = ("-i", SERVER_INTERFACE, "-n", "-U", "-Z", "root", "--nano", "-w", str(file))
    tcpdump = host.start("tcpdump", *options, stderr=subprocess.DEVNULL)
    wait_for(lambda: host.packet_sockets() > sockets, "tcpdump")
    yield file
    tcpdump.terminate()
    tcpdump.wait()


def assert_same(found: list[Record], expected: list[Record], *, times: bool = False) -> None:
    ours, theirs = comparable(found, times=times), comparable(expected, times=times)
    assert list((ours - theirs).elements()) == []
    assert list((theirs - ours).elements()) == []
