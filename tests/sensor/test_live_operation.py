"""`hoptap run` in operation: signals, a full disk, a lost interface, another user, its status."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from sensor.exits import Exit
from sensor.live import DRAIN_S
from tests.command import DEMO_CAPTURE, HOPTAP, hoptap, read_records, write_config
from tests.lab.namespaces import (
    CLIENT_INTERFACE,
    SERVER_INTERFACE,
    Wire,
    open_wire,
    wait_for,
)
from tests.lab.sensor import LiveSensor, listening

pytestmark = pytest.mark.namespace

LISTEN = "127.0.0.1:9798"
TIMEOUT_S = 60
NOBODY = 65534
SEND = (sys.executable, "-m", "tests.lab.send", str(DEMO_CAPTURE), CLIENT_INTERFACE)


@dataclass(frozen=True, slots=True)
class Site:
    wire: Wire

    def send_demo(self) -> None:
        self.wire.client.run(*SEND, timeout_s=TIMEOUT_S)

    def ask(self, path: str) -> tuple[int, str]:
        url = f"http://{LISTEN}{path}"
        text = self.wire.server.run("curl", "--silent", "--write-out", "\n%{http_code}", url)
        body, _, code = text.rpartition("\n")
        return int(code), body

    def reasons(self) -> list[str]:
        """What /readyz complains of."""
        _, body = self.ask("/readyz")
        reasons: list[str] = json.loads(body)["reasons"]
        return reasons


@pytest.fixture
def site() -> Iterator[Site]:
    with open_wire(offloads=False) as wire:
        yield Site(wire)


def config_of(directory: Path, **sections: dict[str, Any] | list[dict[str, Any]]) -> Path:
    return write_config(directory, **{"status": {"listen": LISTEN}, **sections})


def ready(site: Site) -> bool:
    try:
        return site.reasons() == []
    except RuntimeError:  # it does not listen yet
        return False


def test_a_run_in_its_whole_length(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "hop.ndjson"
    config = config_of(tmp_path, history={"enabled": True})
    with listening(site.wire.server, SERVER_INTERFACE, config, out) as sensor:
        wait_for(lambda: ready(site), "readiness")
        site.send_demo()
        wait_for(lambda: len(sensor.records()) > 50, "records")
        code, metrics = site.ask("/metrics")
        assert code == 200
        assert 'hoptap_capture_packets_total{interface="server0"} ' in metrics
        limits = Path(f"/proc/{sensor.process.pid}/limits").read_text()
        assert "Max core file size        0                    0" in limits
        records = sensor.stop()
    assert sensor.log.read_text().splitlines()[0] == (
        f"hoptap: capturing on server0; records in {out}; status at http://{LISTEN}"
    )
    found = hoptap("who", "*", "-c", config, "--json").stdout.splitlines()
    latest = {record.get("amends") or record["id"] for record in records}
    assert len(found) == len([each for each in latest if each])


def test_hangup_reopens_the_file(site: Site, tmp_path: Path) -> None:
    out, moved = tmp_path / "hop.ndjson", tmp_path / "moved.ndjson"
    with listening(site.wire.server, SERVER_INTERFACE, config_of(tmp_path), out) as sensor:
        wait_for(lambda: ready(site), "readiness")
        sending = site.wire.client.start(*SEND)
        wait_for(lambda: len(sensor.records()) > 5, "records")
        out.rename(moved)
        sensor.process.send_signal(signal.SIGHUP)
        wait_for(out.exists, "a new file")
        before = len(read_records(moved))
        assert sending.wait(TIMEOUT_S) == 0
        wait_for(lambda: len(sensor.records()) > 5, "records in the new file")
        after = sensor.stop()
    records = read_records(moved) + after
    assert len(read_records(moved)) == before
    assert len({record["id"] for record in records}) == len(records)
    assert len(records) == len(hoptap("replay", DEMO_CAPTURE).stdout.splitlines())


def test_a_full_disk_is_said_and_heals_without_loss(site: Site, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        out = disk / "hop.ndjson"
        config = config_of(tmp_path, output={"ndjson": str(out)})
        with listening(site.wire.server, SERVER_INTERFACE, config, out) as sensor:
            wait_for(lambda: ready(site), "readiness")
            site.send_demo()
            wait_for(lambda: not ready(site), "a full disk")
            (reason,) = site.reasons()
            assert reason == f"ndjson: {out}: No space left on device"
            assert site.ask("/healthz")[0] == 200
            subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
            wait_for(lambda: ready(site), "room again", timeout_s=40)
            records = sensor.stop()
        said = sensor.log.read_text()
        assert said.count("No space left on device") == 1
        ids = [record["id"] for record in records]
        assert len(ids) == len(set(ids)) > 80
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_disk_that_stays_full_is_an_output_error(site: Site, tmp_path: Path) -> None:
    out, log = tmp_path / "hop.ndjson", tmp_path / "evidence.ndjson"
    log.symlink_to("/dev/full")
    config = config_of(tmp_path, output={"ndjson": "/dev/full"}, evidence={"file": str(log)})
    with listening(site.wire.server, SERVER_INTERFACE, config, out) as sensor:
        wait_for(lambda: ready(site), "readiness")
        site.send_demo()
        wait_for(lambda: not ready(site), "an error")
        begun = time.monotonic()
        sensor.process.send_signal(signal.SIGTERM)
        assert sensor.process.wait(TIMEOUT_S) == Exit.OUTPUT
        assert time.monotonic() - begun < 1.7 * DRAIN_S  # not of each output
    lines = sensor.log.read_text().splitlines()[-2:]
    for line, path in zip(lines, ("/dev/full", log), strict=True):
        assert line.startswith(f"hoptap: error: {path}: No space left on device; ")
        assert line.endswith(" records not written")


def test_a_second_signal_ends_at_once(site: Site, tmp_path: Path) -> None:
    """While the first one's drain waits for a disk that is full."""
    config = config_of(tmp_path, output={"ndjson": "/dev/full"})
    with listening(site.wire.server, SERVER_INTERFACE, config, tmp_path / "x.ndjson") as sensor:
        wait_for(lambda: ready(site), "readiness")
        site.send_demo()
        wait_for(lambda: not ready(site), "an error")
        sensor.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in site.reasons(), "the first signal")
        begun = time.monotonic()
        sensor.process.send_signal(signal.SIGTERM)
        assert sensor.process.wait(TIMEOUT_S) == Exit.INTERRUPTED
        assert time.monotonic() - begun < 5


def test_an_interface_without_carrier_is_not_ready(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "hop.ndjson"
    with listening(site.wire.server, SERVER_INTERFACE, config_of(tmp_path), out) as sensor:
        wait_for(lambda: ready(site), "readiness")
        site.wire.client.run("ip", "link", "set", CLIENT_INTERFACE, "down")
        wait_for(
            lambda: site.reasons() == ["interface server0 has no carrier"], "the missing carrier"
        )
        site.wire.client.run("ip", "link", "set", CLIENT_INTERFACE, "up")
        wait_for(lambda: ready(site), "the carrier")
        assert sensor.stop() == []


def test_another_user_captures_on_without_root(site: Site, tmp_path: Path) -> None:
    with TemporaryDirectory() as open_to_all:  # that user may not enter tmp_path
        os.chmod(open_to_all, 0o755)
        data = Path(open_to_all, "data")
        out = data / "hop.ndjson"
        config = config_of(
            tmp_path,
            sensor={"data_dir": str(data), "user": "nobody"},
            output={"ndjson": str(out)},
            history={"enabled": True},
        )
        with listening(site.wire.server, SERVER_INTERFACE, config, tmp_path / "x") as started:
            sensor = LiveSensor(started.process, out, started.log)
            wait_for(lambda: ready(site), "readiness")
            status = Path(f"/proc/{sensor.process.pid}/status").read_text()
            lines = dict(line.split(":", 1) for line in status.splitlines())
            assert lines["Uid"].split() == [str(NOBODY)] * 4
            assert int(lines["CapEff"], 16) == 0
            assert lines["NoNewPrivs"].strip() == "1"
            site.send_demo()
            wait_for(lambda: len(sensor.records()) > 50, "records")
            code, metrics = site.ask("/metrics")
            assert code == 200 and "hoptap_packets_total 2115.0" in metrics
            sensor.stop()
        assert {each.stat().st_uid for each in data.iterdir()} == {NOBODY}
        assert data.stat().st_mode & 0o777 == 0o750


def test_a_duration_ends_a_run(site: Site, tmp_path: Path) -> None:
    config = config_of(tmp_path)
    command = ("run", "-i", SERVER_INTERFACE, "-c", str(config), "--duration", "0.5")
    begun = time.monotonic()
    site.wire.server.run(HOPTAP, *command)
    assert 0.5 <= time.monotonic() - begun < 20


def test_the_first_start_makes_the_data_directory(site: Site, tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    config = config_of(
        tmp_path,
        sensor={"data_dir": str(data), "hash_key_file": f"{tmp_path}/hash.key"},
        output={"ndjson": f"{data}/hop.ndjson"},
        sink=[{"id": "file", "type": "file", "to": f"{data}/f.log"}],
    )
    site.wire.server.run(HOPTAP, "run", "-i", "lo", "-c", str(config), "--duration", "0.2")
    assert {each.name for each in data.iterdir()} == {"hop.ndjson", "f.log"}
    assert data.stat().st_mode & 0o777 == 0o750


def test_what_cannot_begin_says_why(site: Site, tmp_path: Path) -> None:
    def fails(*options: str, sections: dict[str, Any] | None = None) -> str:
        config = config_of(tmp_path, **(sections or {}))
        with pytest.raises(RuntimeError) as caught:
            site.wire.server.run(HOPTAP, "run", "-c", str(config), "--duration", "5", *options)
        return str(caught.value).split(": ", 1)[1]

    assert fails("-i", "nosuch0").startswith(f"{Exit.INPUT}\nhoptap: error: nosuch0: ")
    text = fails("-i", "lo", sections={"status": {"listen": "10.99.99.99:1"}})
    assert f"{Exit.OUTPUT}\n" in text and "status.listen 10.99.99.99:1: Cannot assign" in text
    text = fails("-i", "lo", sections={"sensor": {"user": "no-such-user"}})
    assert text == (
        f"{Exit.CONFIGURATION}\nhoptap: error: sensor.user: there is no user 'no-such-user'\n"
    )
    (tmp_path / "ca.pem").write_text("no PEM\n")
    sink = {"id": "siem", "type": "relp", "to": "127.0.0.1:9", "tls": True}
    sink["tls_ca_file"] = f"{tmp_path}/ca.pem"
    text = fails("-i", "lo", sections={"sink": [sink]})
    assert text.startswith(f"{Exit.CONFIGURATION}\n")
    assert f"\nhoptap: error: sink siem: {tmp_path}/ca.pem: no certificate" in text
    with (tmp_path / "hop.ndjson").open("w") as file:
        file.write("my notes\n")
    text = fails("-i", "lo")
    assert text.startswith(f"{Exit.OUTPUT}\n")
    assert "hop.ndjson: is no file of records, left untouched" in text


def test_capturing_without_the_right_is_a_permission_error(site: Site, tmp_path: Path) -> None:
    config = config_of(tmp_path)
    command = ("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw", HOPTAP)
    with pytest.raises(RuntimeError) as caught:
        site.wire.server.run(*command, "run", "-c", str(config), "-i", "lo")
    assert f": {Exit.PERMISSION}\n" in str(caught.value)
    assert "capturing needs root or CAP_NET_RAW" in str(caught.value)


def test_an_interface_that_goes_ends_the_run_and_keeps_the_records(
    site: Site, tmp_path: Path
) -> None:
    out = tmp_path / "hop.ndjson"
    with listening(site.wire.server, SERVER_INTERFACE, config_of(tmp_path), out) as sensor:
        wait_for(lambda: ready(site), "readiness")
        site.send_demo()
        site.wire.client.run("ip", "link", "delete", CLIENT_INTERFACE)
        assert sensor.process.wait(TIMEOUT_S) == Exit.INPUT
        last = sensor.log.read_text().splitlines()[-1]
        assert last.startswith("hoptap: error: server0: ")
        assert len(sensor.records()) == len(hoptap("replay", DEMO_CAPTURE).stdout.splitlines())
