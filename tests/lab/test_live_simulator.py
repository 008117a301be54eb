"""A real client at a real server over a wire, with the sensor listening live."""

import json
import sys
from dataclasses import dataclass

import pytest

from tests.command import Record, write_config
from tests.lab import simulator
from tests.lab.namespaces import (
    CLIENT_ADDRESS,
    SERVER_ADDRESS,
    SERVER_INTERFACE,
    open_wire,
    wait_for,
)
from tests.lab.sensor import listening
from tests.leaks import leaks

pytestmark = [pytest.mark.namespace, pytest.mark.server]

CLIENT_TIMEOUT_S = 60
TASKS = ["PowerOffVM_Task", "PowerOnVM_Task", "PowerOffVM_Task", "Destroy_Task"]
PATH = f"VC:{simulator.USER}"
STATUS = "127.0.0.1:9798"
SCRAPE = f"""
import urllib.request
print(urllib.request.urlopen("http://{STATUS}/metrics").read().decode())
"""


@dataclass(frozen=True, slots=True)
class Seen:
    did: dict[str, str]  # what the client says that it did
    metrics: str
    records: list[Record]


def of_kind(records: list[Record], kind: str) -> list[Record]:
    return [record for record in records if record["kind"] == kind]


def complete(records: list[Record]) -> bool:
    return len(of_kind(records, "action")) == len(TASKS) and bool(of_kind(records, "logout"))


@pytest.fixture(scope="module", params=[False, True], ids=["wire-size-frames", "super-packets"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    directory = tmp_path_factory.mktemp("live")
    out = directory / "hop.ndjson"
    config = write_config(directory, status={"listen": STATUS})
    client = (sys.executable, "-m", "tests.lab.vsphere_client")
    with open_wire(offloads=request.param) as wire:
        simulator.start(wire.server, f"{SERVER_ADDRESS}:80")
        with listening(wire.server, SERVER_INTERFACE, config, out) as sensor:
            account = (SERVER_ADDRESS, simulator.USER, simulator.PASSWORD)
            did = json.loads(wire.client.run(*client, *account, timeout_s=CLIENT_TIMEOUT_S))
            wait_for(lambda: complete(sensor.records()), "the records of all it did")
            metrics = wire.server.run(sys.executable, "-c", SCRAPE)
            return Seen(did, metrics, sensor.stop())


def test_logins(seen: Seen) -> None:
    logins = of_kind(seen.records, "login")
    assert [login["outcome"] for login in logins] == ["failure", "success"]
    assert [login["op"]["method"] for login in logins] == ["password", "password"]
    assert logins[0]["fault"] == "InvalidLogin"
    for login in logins:
        assert login["from"]["ip"] == CLIENT_ADDRESS
        assert (login["to"]["ip"], login["to"]["port"]) == (SERVER_ADDRESS, 80)
        assert (login["to"]["service"], login["to"]["user"]) == ("VC", simulator.USER)
    assert "session" not in logins[0]["to"]
    assert logins[1]["to"]["session"]


def test_actions(seen: Seen) -> None:
    actions = of_kind(seen.records, "action")
    assert [action["op"]["name"] for action in actions] == TASKS
    assert [action["op"]["class"] for action in actions] == ["power", "power", "power", "delete"]
    [login] = [each for each in of_kind(seen.records, "login") if each["outcome"] == "success"]
    for action in actions:
        assert action["outcome"] == "success"
        assert action["target"]["type"] == "VirtualMachine"
        assert action["target"]["id"] == seen.did["target"]
        assert action["target"]["name"] == seen.did["name"]
        assert action["to"]["user"] == simulator.USER
        assert action["to"]["session"] == login["to"]["session"]
        assert action["task"].startswith("task-")
        assert action["visibility"] == "clear"


def test_path(seen: Seen) -> None:
    """One hop: a person at the vCenter, and nobody above."""
    for action in of_kind(seen.records, "action"):
        assert action["chain"]["path"] == PATH
        assert action["chain"]["users"] == [simulator.USER]


def test_logout(seen: Seen) -> None:
    [logout] = of_kind(seen.records, "logout")
    [login] = [each for each in of_kind(seen.records, "login") if each["outcome"] == "success"]
    assert logout["to"]["session"] == login["to"]["session"]
    assert logout["to"]["user"] == simulator.USER


def test_nothing_is_missing_or_secret(seen: Seen) -> None:
    assert of_kind(seen.records, "gap") == []
    for said in (json.dumps(seen.records), seen.metrics):
        assert leaks(said.encode(), {simulator.PASSWORD: "password"}) == []


def test_metrics(seen: Seen) -> None:
    lines = [line for line in seen.metrics.splitlines() if line and not line.startswith("#")]
    counted = dict(line.rsplit(" ", 1) for line in lines)
    interface = f'{{interface="{SERVER_INTERFACE}"}}'
    assert float(counted[f"hoptap_capture_packets_total{interface}"]) > 50
    assert float(counted[f"hoptap_capture_packets_dropped_total{interface}"]) == 0
    assert float(counted['hoptap_records_total{kind="login"}']) == 2
    assert float(counted['hoptap_records_total{kind="action"}']) >= len(TASKS)
