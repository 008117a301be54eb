"""nginx and HAProxy before a vCenter, TLS on both of their sides, two people at work at once.

The sensor listens on the proxy's own interface, so it sees both legs; every secret comes to it
while it runs, in the way that the README tells for that proxy.
"""

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.command import Record, write_config
from tests.lab import proxies, simulator
from tests.lab.namespaces import (
    CLIENT_ADDRESS,
    CLIENT_INTERFACE,
    SERVER_ADDRESS,
    SERVER_INTERFACE,
    Wire,
    open_wire,
    wait_for,
)
from tests.lab.sensor import listening
from tests.lab.vsphere_change import PASSWORD
from tests.leaks import leaks

pytestmark = [pytest.mark.namespace, pytest.mark.server]

CLIENT_TIMEOUT_S = 60
UDP = "127.0.0.1:5556"
OTHER_CLIENT = "10.91.0.4"
VCENTER, _, _ = proxies.SERVER.partition(":")
PEOPLE = {"alice@vsphere.local": CLIENT_ADDRESS, "bob@vsphere.local": OTHER_CLIENT}
DONE = ["Login", "PowerOffVM_Task", "PowerOnVM_Task", "Logout"]


@dataclass(frozen=True, slots=True)
class Seen:
    machines: dict[str, str]  # user -> the machine he changed
    records: list[Record]


def told(records: list[Record]) -> bool:
    """Everything they did is in a record."""
    found = {(each["to"]["user"], each["op"]["name"]) for each in records if "user" in each["to"]}
    return found >= {(user, name) for user in PEOPLE for name in DONE}


def work(wire: Wire) -> dict[str, str]:
    """Everybody at once."""
    command = (sys.executable, "-m", "tests.lab.vsphere_change", SERVER_ADDRESS)
    at_work = {
        user: wire.client.start(*command, client, user, str(number), stdout=subprocess.PIPE)
        for number, (user, client) in enumerate(PEOPLE.items())
    }
    machines = {}
    for user, process in at_work.items():
        said, _ = process.communicate(timeout=CLIENT_TIMEOUT_S)
        assert process.returncode == 0
        machines[user] = said.strip()
    return machines


@pytest.fixture(scope="module", params=["nginx", "haproxy", "haproxy-preloaded"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    program, _, _ = request.param.partition("-")
    if not shutil.which(program):
        pytest.skip(f"no {program}")
    directory = tmp_path_factory.mktemp(request.param)
    unix, log = directory / "keys.sock", directory / "vcenter.log"
    config = write_config(
        directory,
        keys={"decrypt": True, "unix": str(unix), "udp": UDP, "logs": [str(log)]},
        sites={"trusted_proxies": [SERVER_ADDRESS]},
    )
    simulator.built()  # which takes minutes the first time
    with open_wire(offloads=False) as wire:
        for address in (VCENTER, OTHER_CLIENT):
            wire.client.run("ip", "address", "add", f"{address}/24", "dev", CLIENT_INTERFACE)
        out = directory / "hop.ndjson"
        with listening(wire.server, SERVER_INTERFACE, config, out) as sensor:
            options = ["-any", "-tls"]
            if request.param == "haproxy":
                options += ["-keys", str(log)]
            simulator.start(wire.client, proxies.SERVER, *options)
            if request.param == "nginx":
                proxies.start_nginx(wire.server, directory, unix)
            elif request.param == "haproxy":
                proxies.start_haproxy(wire.server, directory, UDP)
            else:
                proxies.start_haproxy_preloaded(wire.server, directory, unix)
            machines = work(wire)
            wait_for(lambda: told(sensor.records()), "the records of all they did")
            return Seen(machines, sensor.stop())


def of(seen: Seen, user: str) -> list[Record]:
    return [each for each in seen.records if each["to"]["user"] == user]


def test_everything_is_told_once(seen: Seen) -> None:
    """The two legs of a call are one call."""
    counted = Counter((each["to"]["user"], each["op"]["name"]) for each in seen.records)
    assert counted == Counter((user, name) for user in PEOPLE for name in DONE)
    assert {each["kind"] for each in seen.records} == {"login", "action", "logout"}


@pytest.mark.parametrize("user", PEOPLE)
def test_who_did_it_from_where(seen: Seen, user: str) -> None:
    """The client is the one before the proxy, the server the one behind it."""
    found = of(seen, user)
    assert {each["from"]["ip"] for each in found} == {PEOPLE[user]}
    assert {each["to"]["ip"] for each in found} == {VCENTER}
    assert len({each["to"]["session"] for each in found}) == 1
    for each in found:
        assert each["outcome"] == "success"
        assert each["chain"]["path"].endswith(f":{user}")
        if each["kind"] == "action":
            assert each["target"]["id"] == seen.machines[user]


def test_both_legs_were_decrypted(seen: Seen) -> None:
    for each in seen.records:
        assert each["visibility"] == "decrypted"
        # A session that nginx resumes may be opened by its ticket before its own key comes.
        assert each["tls"]["key_source"] in ("keylog", "ticket")
        assert "reason" not in each["tls"]
    # what the proxy says of its client is a claim; that the call went to the proxy was seen
    for each in seen.records:
        if each["kind"] == "action":
            evidence = {(fact["key"], fact["value"]): fact for fact in each["hop"]["evidence"]}
            assert evidence["proxy", SERVER_ADDRESS]["grade"] == "proved"


def test_no_password_and_no_gap(seen: Seen) -> None:
    said = json.dumps(seen.records)
    assert leaks(said.encode(), {PASSWORD: "password"}) == []
    assert "gap" not in {each["kind"] for each in seen.records}
