"""Keys through each way in while the sensor runs: its flows have ended by then, and still open.

Every conversation has keys of its own, which take one way only; all packets come before any key.
"""

import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import Record, write_config
from tests.conversation import Conversation
from tests.impair import Packet, write_pcap
from tests.lab.namespaces import CLIENT_INTERFACE, SERVER_INTERFACE, Namespace, open_wire, wait_for
from tests.lab.sensor import listening
from tests.sensor.test_keys import line
from tests.tls_talk import TlsTalk, login

pytestmark = pytest.mark.namespace

SERVER = "10.1.0.20"
PASSWORD = "Green-Anchor-Pine-6"
STATUS, UDP = "127.0.0.1:9798", 5557
SEND = (sys.executable, "-m", "tests.lab.send")
FOREIGN = 100_000
LATE_S = 0.5
HELD_MS = 120_000  # longer than a busy machine takes for all of this
SCRAPE = f"""
import urllib.request
print(urllib.request.urlopen("http://{STATUS}/metrics").read().decode())
"""
# Sent from the sensor's host, as UDP on loopback asks for; standard input would be nothing's.
SENDS_UDP = f"""
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.sendto(open(sys.argv[1], "rb").read(), ("127.0.0.1", {UDP}))
"""
RSA_ONLY = {"version": ssl.TLSVersion.TLSv1_2, "ciphers": "AES128-GCM-SHA256"}
# user -> options of his conversation
TALKS: dict[str, dict[str, Any]] = {
    "rsa": RSA_ONLY,
    "grown": {},
    "renamed": {},
    "after-renamed": {},
    "cut": {},
    "fifo": {},
    "unix": {},
    "udp": {},
    "wrong": {},
    "unfinished": {},
}
OPENED = sorted(set(TALKS) - {"wrong", "unfinished"})


class Site:
    """The conversations, and where their keys go."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.talks = {}
        packets: list[Packet] = []
        for number, (user, options) in enumerate(TALKS.items()):
            own = directory / user
            own.mkdir()
            flow = Conversation(f"10.1.0.{100 + number}", 40_000 + number, SERVER, 443)
            self.talks[user] = TlsTalk(own, flow, **options)
            self.talks[user].exchange(*login(user, PASSWORD))
            packets += flow.packets()
        packets.sort(key=lambda packet: packet.time_ns)
        self.capture = write_pcap(directory / "capture.pcap", packets)
        self.log, self.unfinished, self.wrong = (
            directory / f"{name}.log" for name in ("keys", "unfinished", "wrong")
        )
        self.fifo, self.unix = directory / "keys.fifo", directory / "keys.sock"
        for log in (self.log, self.unfinished, self.wrong):
            log.touch(0o600)

    def keys(self, user: str) -> bytes:
        return self.talks[user].keys.read_bytes()

    def settings(self) -> dict[str, Any]:
        key = self.talks["rsa"].private_key
        key.chmod(0o600)
        return {
            "decrypt": True,
            "logs": [str(each) for each in (self.log, self.unfinished, self.wrong)],
            "fifo": [str(self.fifo)],
            "unix": str(self.unix),
            "udp": f"127.0.0.1:{UDP}",
            "rsa_keys": [str(key)],
        }


def add(log: Path, lines: bytes) -> None:
    with log.open("ab") as file:
        file.write(lines)


@dataclass(frozen=True, slots=True)
class Seen:
    records: list[Record]
    metrics: dict[str, float]
    sent_ns: int  # when the last packet had been sent


def deliver(site: Site, host: Namespace, has: Callable[[str, float], None]) -> None:
    """Every key its own way. `has` waits until a counter of the sensor has come so far."""
    keys = site.keys
    half = len(keys("grown")) // 2
    add(site.log, keys("grown")[:half])  # within a line
    add(site.unfinished, keys("unfinished")[: len(keys("unfinished")) // 5])
    site.wrong.write_bytes(
        b"".join(
            b" ".join((*each.split()[:2], b"00" * 48)) + b"\n"
            for each in keys("wrong").splitlines()[1:]
        )
    )
    has('hoptap_keys_read_bytes_total{input="file"}', site.wrong.stat().st_size)
    add(site.log, keys("grown")[half:])
    foreign = b"".join(map(line, range(FOREIGN)))
    add(site.log, foreign + keys("renamed"))
    site.log.rename(site.directory / "keys.log.1")  # while it is read
    add(site.log, keys("after-renamed"))
    has('hoptap_keys_rotations_total{input="file"}', 1)
    has("hoptap_tls_secrets_taken_total", FOREIGN)
    add(site.log, b"# " + b"-" * len(keys("cut")) * 2 + b"\n")
    size = sum(
        each.stat().st_size for each in (site.log, site.wrong, site.directory / "keys.log.1")
    )
    has('hoptap_keys_read_bytes_total{input="file"}', size)
    os.truncate(site.log, 0)
    add(site.log, keys("cut"))
    has('hoptap_keys_truncations_total{input="file"}', 1)
    with site.fifo.open("wb") as file:
        file.write(keys("fifo"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(keys("unix"), str(site.unix))
    datagram = site.directory / "datagram"  # as HAProxy writes it
    datagram.write_bytes(b"|".join(keys("udp").splitlines()[1:]))
    host.run(sys.executable, "-c", SENDS_UDP, str(datagram))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    site = Site(tmp_path_factory.mktemp("keys"))
    out = site.directory / "hop.ndjson"
    config = write_config(
        site.directory,
        keys=site.settings(),
        limits={"tls_held_timeout_ms": HELD_MS, "flow_closed_timeout_ms": HELD_MS},
        status={"listen": STATUS},
        service=[{"id": "VC", "addresses": [SERVER]}],
    )
    with (
        open_wire(offloads=False) as wire,
        listening(wire.server, SERVER_INTERFACE, config, out) as sensor,
    ):

        def metrics() -> dict[str, float]:
            lines = wire.server.run(sys.executable, "-c", SCRAPE).splitlines()
            rows = [each.rsplit(" ", 1) for each in lines if each and not each.startswith("#")]
            return {name: float(count) for name, count in rows}

        def has(name: str, count: float) -> None:
            wait_for(lambda: metrics()[name] >= count, f"{name} {count:g}")

        wait_for(lambda: "capturing" in sensor.log.read_text(), "the greeting")
        wire.client.run(*SEND, str(site.capture), CLIENT_INTERFACE)
        sent_ns = time.time_ns()
        time.sleep(LATE_S)
        deliver(site, wire.server, has)
        wait_for(lambda: users(sensor.records()) >= set(OPENED), "the records")
        found = metrics()
        return Seen(sensor.stop(), found, sent_ns)


def users(records: list[Record]) -> set[str]:
    return {each["to"]["user"] for each in records if each["kind"] == "login"}


def test_every_way_in_opens_its_flow(seen: Seen) -> None:
    logins = [each for each in seen.records if each["kind"] == "login"]
    assert sorted(each["to"]["user"] for each in logins) == OPENED
    for each in logins:
        assert each["visibility"] == "decrypted"
        assert each["from"]["ip"] == f"10.1.0.{100 + list(TALKS).index(each['to']['user'])}"
        source = "rsa" if each["to"]["user"] == "rsa" else "keylog"
        assert each["tls"]["key_source"] == source
        assert each["ts"] < seen.sent_ns


def test_what_stays_closed_says_why(seen: Seen) -> None:
    closed = [each for each in seen.records if each["visibility"] == "metadata"]
    assert {each["from"]["ip"]: each["tls"]["reason"] for each in closed} == {
        f"10.1.0.{100 + list(TALKS).index(user)}": reason
        for user, reason in (("wrong", "failed"), ("unfinished", "no_key"))
    }
    assert {each["kind"] for each in closed} == {"chain"}


def test_what_came_through_is_counted(seen: Seen) -> None:
    counted = seen.metrics
    assert counted['hoptap_keys_rotations_total{input="file"}'] == 1
    assert counted['hoptap_keys_truncations_total{input="file"}'] == 1
    for kind in ("fifo", "unix", "udp"):
        assert counted[f'hoptap_keys_read_bytes_total{{input="{kind}"}}'] > 0
    for name in ("errors", "overlong_lines", "shed_bytes", "dropped_datagrams"):
        for kind in ("file", "fifo", "unix", "udp"):
            assert counted[f'hoptap_keys_{name}_total{{input="{kind}"}}'] == 0
    logged = len(TALKS) - len(["rsa", "unfinished"])
    assert counted["hoptap_tls_secrets_taken_total"] == FOREIGN + 4 * logged
    assert counted["hoptap_tls_secrets_malformed_total"] == 0
    assert counted["hoptap_tls_authentication_failed_total"] >= 1  # wrong, each direction
    assert counted["hoptap_tls_held_expired_bytes_total"] == 0


def test_nothing_is_missing(seen: Seen) -> None:
    assert [each for each in seen.records if each["kind"] == "gap"] == []
    assert PASSWORD not in json.dumps(seen.records)
