"""`hoptap run` with a sink whose receiver, or whose spool, fails while traffic goes on."""

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.command import DEMO_CAPTURE, hoptap, read_records, write_config
from tests.lab.namespaces import SERVER_INTERFACE, Wire, open_wire, wait_for
from tests.lab.sensor import LiveSensor, listening
from tests.sensor.test_live_operation import LISTEN, Site

pytestmark = pytest.mark.namespace

TIMEOUT_S = 60


@pytest.fixture
def wire() -> Iterator[Wire]:
    with open_wire(offloads=False) as wire:
        yield wire


class Listener:
    """Takes lines on a unix socket; what it has read stays when it goes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.data = b""

    @contextmanager
    def listening(self) -> Iterator[None]:
        self._path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.bind(str(self._path))
            server.listen()
            thread = threading.Thread(target=self._accept, args=(server,), daemon=True)
            thread.start()
            yield
            server.shutdown(socket.SHUT_RDWR)
            thread.join(TIMEOUT_S)

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                while chunk := connection.recv(65536):
                    self.data += chunk

    def records(self) -> list[dict[str, Any]]:
        whole, _, _ = self.data.rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines()]


def readiness(site: Site) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(site.ask("/readyz")[1])
    except RuntimeError:  # it does not listen yet
        return {"status": "none"}
    return body


def metric(site: Site, name: str) -> float:
    """Of the sink, without its label."""
    lines = site.ask("/metrics")[1].splitlines()
    label, _, rest = name.partition(" ")
    [line] = [
        each for each in lines if each.startswith(f'hoptap_export_{label}{{output="siem"{rest}')
    ]
    return float(line.rpartition(" ")[2])


def started(tmp_path: Path, **more: Any) -> tuple[Path, Path, Listener]:
    listener = tmp_path / "listener"
    sink = {"id": "siem", "type": "unix", "to": str(listener), **more}
    sections: dict[str, Any] = {"status": {"listen": LISTEN}, "sink": [sink]}
    return write_config(tmp_path, **sections), tmp_path / "hop.ndjson", Listener(listener)


def errors(sensor: LiveSensor) -> list[str]:
    lines = sensor.log.read_text().splitlines()
    return [line for line in lines if line.startswith("hoptap: error: ")]


def test_a_receiver_that_is_away_is_a_warning_and_gets_all_later(
    wire: Wire, tmp_path: Path
) -> None:
    site = Site(wire)
    config, out, listener = started(tmp_path)
    missing = f"siem: unix {tmp_path}/listener: no such file or directory"
    with listening(wire.server, SERVER_INTERFACE, config, out) as sensor:
        wait_for(lambda: "warnings" in readiness(site), "the missing receiver")
        warned = {"status": "ok", "reasons": [], "warnings": [missing]}
        wait_for(lambda: readiness(site) == warned, "readiness with a warning")
        assert metric(site, "connected") == 0
        site.send_demo()
        wait_for(lambda: len(sensor.records()) > 80, "records")
        assert metric(site, "spool_bytes") > 10_000
        first = sensor.stop()
        lines = sensor.log.read_text().splitlines()
    assert f"hoptap: error: {missing}" in lines
    assert f"hoptap: siem: {len(first)} records wait in the spool" in lines
    assert len(errors(sensor)) == 1
    with listener.listening(), listening(wire.server, SERVER_INTERFACE, config, out) as sensor:
        wait_for(lambda: len(listener.records()) == len(first), "the spool")
        assert listener.records() == first
        site.send_demo()
        wait_for(lambda: len(listener.records()) > len(first) + 80, "records")
        wait_for(lambda: readiness(site) == {"status": "ok", "reasons": []}, "readiness")
        assert metric(site, "connected") == 1
        assert metric(site, 'records_total ,result="written"') == len(listener.records())
        assert metric(site, "last_ack_timestamp_seconds") > 1e9
        everything = sensor.stop()
    wait_for(lambda: listener.records() == everything, "the end")
    assert errors(sensor) == []


def test_a_full_disk_of_a_spool_harms_nothing_else_and_heals(wire: Wire, tmp_path: Path) -> None:
    site = Site(wire)
    disk = tmp_path / "spool"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    full = f"siem: spool {disk}/siem: No space left on device"
    try:
        config, out, listener = started(tmp_path)
        with listening(wire.server, SERVER_INTERFACE, config, out) as sensor:
            wait_for(lambda: "warnings" in readiness(site), "the missing receiver")
            site.send_demo()
            wait_for(lambda: readiness(site)["reasons"] == [full], "a full disk")
            assert site.ask("/healthz")[0] == 200
            wait_for(lambda: len(sensor.records()) > 80, "records in the file all the same")
            assert metric(site, "errors_total") >= 1
            subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
            with listener.listening():
                wait_for(lambda: readiness(site)["reasons"] == [], "room again", timeout_s=40)
                wait_for(lambda: len(listener.records()) > 80, "records", timeout_s=40)
                everything = sensor.stop()
                wait_for(lambda: listener.records() == everything, "the end")
        assert [line for line in errors(sensor) if "No space" in line] == [f"hoptap: error: {full}"]
        assert len(everything) == len(hoptap("replay", DEMO_CAPTURE).stdout.splitlines())
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_killed_sensor_sends_what_it_had_after_its_restart(wire: Wire, tmp_path: Path) -> None:
    site = Site(wire)
    config, out, listener = started(tmp_path)
    with listening(wire.server, SERVER_INTERFACE, config, out) as sensor:
        wait_for(lambda: "warnings" in readiness(site), "the missing receiver")
        site.send_demo()
        wait_for(lambda: len(sensor.records()) > 80, "records")
        before = metric(site, "spool_bytes")
        assert before > 10_000
        sensor.process.send_signal(signal.SIGKILL)
        sensor.process.wait(TIMEOUT_S)
    written = read_records(out)
    with listener.listening(), listening(wire.server, SERVER_INTERFACE, config, out) as sensor:
        wait_for(lambda: len(listener.records()) > 80, "the spool")
        sensor.stop()
    taken = listener.records()
    # Both were written by threads of their own: one may have had a batch more when it ended.
    shorter = min(len(taken), len(written))
    assert taken[:shorter] == written[:shorter]
