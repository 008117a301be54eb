"""Clients of a vCenter tapped through their libraries: OpenSSL, GnuTLS and Go's own.

A tap of a file traces whoever uses it, from the first call on: clients that live a second are seen
whole. The sensors are those of test_taps.py; the tapped programs are the clients.
"""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.command import Record, write_config
from tests.lab import simulator, tls_clients
from tests.lab.namespaces import (
    CLIENT_ADDRESS,
    CLIENT_INTERFACE,
    SERVER_ADDRESS,
    SERVER_INTERFACE,
    open_wire,
    wait_for,
)
from tests.lab.sensor import LiveSensor, listening, tapping
from tests.lab.tapped import need_taps
from tests.twins import told as bare

pytestmark = [pytest.mark.namespace, pytest.mark.server]

NAMES = {
    "pyvmomi": "python",
    "curl": "curl",
    "s_client": "openssl",
    "gnutls_cli": "gnutls-cli",
    "go_client": "goclient",
}
WITH_KEYS, PLAINTEXT, KEYS = "packets and key log", "plaintext", "packets and keys"
Seen = dict[str, list[Record]]


def config_of(directory: Path, name: str, **keys: Any) -> tuple[Path, Path]:
    own = directory / name
    own.mkdir()
    sensor = {"data_dir": str(own), "hash_key_file": str(directory / "hash.key")}
    return write_config(own, sensor=sensor, keys=keys), own / "hop.ndjson"


def run(directory: Path) -> Seen:
    (directory / "hash.key").touch(mode=0o600)
    (directory / "hash.key").write_text("00" * 32)
    log = directory / "keys.log"
    with ExitStack() as stack:
        wire = stack.enter_context(open_wire(offloads=False))
        clients = tls_clients.Clients(wire.client, SERVER_ADDRESS, directory)
        libraries = [str(each) for each in (clients.openssl, clients.gnutls, clients.go)]
        simulator.start(wire.server, f"{SERVER_ADDRESS}:443", "-any", "-tls", "-keys", str(log))
        config = config_of(directory, "keyed", decrypt=True, logs=[str(log)])
        keyed = stack.enter_context(listening(wire.server, SERVER_INTERFACE, *config))
        sensors = {WITH_KEYS: keyed}
        for mode, option, more in (
            (PLAINTEXT, "--tap", ()),
            (KEYS, "--tap-keys", ("-i", CLIENT_INTERFACE)),
        ):
            options = [word for each in libraries for word in (option, each)]
            config = config_of(directory, mode)
            sensors[mode] = stack.enter_context(
                tapping(wire.client, *config, *options, "--tap-machine-wide", *more)
            )
        users = tls_clients.of_all(clients)
        for user, act in users.items():
            act(user)
        wanted = {(user, name) for user in users for name in ("Login", "Logout")}
        for mode, sensor in sensors.items():
            wait_for(lambda s=sensor: told(s) >= wanted, f"the records of all by {mode}")  # type: ignore[misc]
        return {mode: sensor.stop() for mode, sensor in sensors.items()}


def told(sensor: LiveSensor) -> set[tuple[str, str]]:
    return {(each["to"].get("user", ""), each["op"]["name"]) for each in sensor.records()}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    need_taps()
    return run(tmp_path_factory.mktemp("clients"))


@pytest.mark.parametrize("mode", [PLAINTEXT, KEYS])
def test_the_records_of_packets_with_a_key_log(seen: Seen, mode: str) -> None:
    records = [{key: each for key, each in one.items() if key != "process"} for one in seen[mode]]
    counted = Counter((each["to"]["user"], each["op"]["name"]) for each in records)
    assert counted == Counter(
        (f"{name}@vsphere.local", op) for name in NAMES for op in ("Login", "Logout")
    )
    assert bare(records) == bare(seen[WITH_KEYS])


def test_each_client_is_named(seen: Seen) -> None:
    for record in seen[PLAINTEXT]:
        name, _, _ = record["to"]["user"].partition("@")
        assert record["process"]["name"].startswith(NAMES[name])
        assert record["from"]["ip"] == CLIENT_ADDRESS
        assert record["to"]["ip"] == SERVER_ADDRESS
