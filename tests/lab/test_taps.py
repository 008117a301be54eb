"""A tap of nginx and of HAProxy before a vCenter, beside a sensor that has their secrets.

Three sensors see the same people at work: one has packets and every secret, as the README tells
for proxies; one taps the plaintext; one has packets, and a tap for the secrets.
"""

import json
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.command import Record, write_config
from tests.lab import proxies, simulator
from tests.lab.namespaces import (
    CLIENT_INTERFACE,
    SERVER_ADDRESS,
    SERVER_INTERFACE,
    open_wire,
    wait_for,
)
from tests.lab.sensor import LiveSensor, listening, tapping
from tests.lab.tapped import need_taps, private_copy
from tests.lab.test_tls_proxies import DONE, OTHER_CLIENT, PEOPLE, VCENTER, told, work
from tests.lab.vsphere_change import PASSWORD
from tests.leaks import leaks
from tests.twins import told as bare

pytestmark = [pytest.mark.namespace, pytest.mark.server]

WITH_KEYS, PLAINTEXT, KEYS = "packets and key log", "plaintext", "packets and keys"

Seen = dict[str, list[Record]]


def config_of(directory: Path, name: str, **keys: Any) -> tuple[Path, Path]:
    """The sensors share a hash key, so that they name sessions alike."""
    own = directory / name
    own.mkdir()
    sections: dict[str, dict[str, Any]] = {
        "sensor": {"data_dir": str(own), "hash_key_file": str(directory / "hash.key")},
        "sites": {"trusted_proxies": [SERVER_ADDRESS]},
        "keys": keys,
    }
    return write_config(own, **sections), own / "hop.ndjson"


def run(program: str, directory: Path) -> Seen:
    unix = directory / "keys.sock"
    (directory / "hash.key").touch(mode=0o600)
    (directory / "hash.key").write_text("00" * 32)
    name, command = private_copy(program, directory)
    simulator.built()  # which takes minutes the first time
    with ExitStack() as stack:
        wire = stack.enter_context(open_wire(offloads=False))
        for address in (VCENTER, OTHER_CLIENT):
            wire.client.run("ip", "address", "add", f"{address}/24", "dev", CLIENT_INTERFACE)
        sensors: dict[str, LiveSensor] = {}
        config = config_of(directory, "keyed", decrypt=True, unix=str(unix))
        sensors[WITH_KEYS] = stack.enter_context(listening(wire.server, SERVER_INTERFACE, *config))
        simulator.start(wire.client, proxies.SERVER, "-any", "-tls")
        if program == "nginx":
            proxies.start_nginx(wire.server, directory, unix, command)
        else:
            proxies.start_haproxy_preloaded(wire.server, directory, unix, command)
        for mode, options in (
            (PLAINTEXT, ("--tap", name)),
            (KEYS, ("--tap-keys", name, "-i", SERVER_INTERFACE)),
        ):
            config = config_of(directory, mode)
            sensors[mode] = stack.enter_context(tapping(wire.server, *config, *options))
        work(wire)
        for mode, sensor in sensors.items():
            wait_for(partial(_all_told, sensor), f"the records by {mode}")
        return {mode: sensor.stop() for mode, sensor in sensors.items()}


def _all_told(sensor: LiveSensor) -> bool:
    return told(sensor.records())


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    need_taps()
    return run(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("mode", [PLAINTEXT, KEYS])
def test_the_records_of_packets_with_a_key_log(seen: Seen, mode: str) -> None:
    counted = Counter((each["to"]["user"], each["op"]["name"]) for each in seen[mode])
    assert counted == Counter((user, name) for user in PEOPLE for name in DONE)
    assert bare(_without_process(seen[mode])) == bare(seen[WITH_KEYS])


def test_the_tap_names_process_and_connection(seen: Seen) -> None:
    """Both legs have their addresses, so that tap and packets speak of the same connections."""
    with_keys = {each["flow"]["community_id"] for each in seen[WITH_KEYS]}
    assert {each["flow"]["community_id"] for each in seen[PLAINTEXT]} <= with_keys
    for each in seen[PLAINTEXT]:
        assert each["visibility"] == "tapped"
        assert each["process"]["name"].startswith(("nginx-", "haproxy-"))
        assert each["process"]["pid"] > 1
        assert each["from"]["ip"] == PEOPLE[each["to"]["user"]]
        assert (each["to"]["ip"], each["to"]["port"]) == (VCENTER, 443)


def test_the_secrets_of_a_tap_open_packets(seen: Seen) -> None:
    for each in seen[KEYS]:
        assert each["visibility"] == "decrypted"
        assert each["tls"]["key_source"] in ("tap", "ticket")
        assert "process" not in each


def test_no_password_and_no_gap(seen: Seen) -> None:
    for records in seen.values():
        assert leaks(json.dumps(records).encode(), {PASSWORD: "password"}) == []
        assert "gap" not in {each["kind"] for each in records}


def _without_process(records: list[Record]) -> list[Record]:
    return [{key: each for key, each in record.items() if key != "process"} for record in records]
