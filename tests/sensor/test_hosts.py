"""Heartbeats: which hosts there are, what is missing, what they change."""

from typing import Any

import pytest

from decoders.message import HostBeat, Target
from sensor.flows import Flow
from sensor.hosts import Hosts
from sensor.records import Record
from tests.sensor.talk import ADMIN, BOB, ESX1, ESX2, START_NS, VC, Talk, vm

SECOND = 10**9
KEY = "7e45575b-675b-53b2-ba01-544805488ac7"
BUILD = 24022510


def beat_of(counter: int, at_s: float = 0, **more: Any) -> HostBeat:
    time_ns = START_NS + round(at_s * SECOND)
    fields = {"host_key": KEY, "address": ESX1, "build": BUILD, **more}
    return HostBeat(counter=counter, time_ns=time_ns, end_ns=time_ns, **fields)


def flow_of(host: str = ESX1, vcenter: str = VC) -> Flow:
    return Flow(17, host, 45000, vcenter, 902, -1, "", "1:h", f"C{host}", 0)


@pytest.mark.parametrize(
    ("counters", "missed", "restarts"),
    [
        ((1, 2, 3, 4), 0, 0),
        ((1, 2, 5, 6), 2, 0),
        ((1, 2, 2, 3), 0, 0),  # a second span port
        ((1, 3, 2, 4), 1, 0),  # out of order: one seems to be missing
        ((4294967294, 4294967295, 0, 1), 0, 0),
        ((4294967294, 1, 2, 3), 2, 0),
        ((70000, 70001, 1, 2), 0, 1),  # the host was started anew
        ((5, 6, 9000, 9001), 0, 1),  # no beats of a day within ten seconds
        ((7, 0, 1, 2), 0, 0),  # as late as that, nobody knows
    ],
)
def test_counters(counters: tuple[int, ...], missed: int, restarts: int) -> None:
    hosts = Hosts()
    for number, counter in enumerate(counters):
        assert hosts.beat(beat_of(counter, 10 * number), flow_of()) == []
    assert (hosts.received, hosts.missed, hosts.restarts) == (4, missed, restarts)


def test_a_long_silence_is_loss() -> None:
    hosts = Hosts()
    hosts.beat(beat_of(1, 0), flow_of())
    hosts.beat(beat_of(361, 3600), flow_of())
    assert (hosts.missed, hosts.restarts) == (359, 0)


def test_hosts_are_bounded() -> None:
    hosts = Hosts(hosts_max=2)
    for number in range(5):
        hosts.beat(beat_of(1, host_key=f"k{number}"), flow_of())
    assert (len(hosts), hosts.shed) == (2, 3)


def beat(
    talk: Talk, at_s: float, counter: int, host: str = ESX1, vcenter: str = VC, **more: Any
) -> list[Record]:
    message = beat_of(counter, at_s, **{"address": host, **more})
    said = talk.analysis.message(flow_of(host, vcenter), message)
    talk.records += said
    return said


@pytest.fixture
def talk() -> Talk:
    return Talk(strangers=True)


def test_beats_are_counted_not_recorded(talk: Talk) -> None:
    for number in (1, 2, 5):
        beat(talk, number * 10, number)
    assert talk.finish() == [] and talk.records == []
    assert talk.analysis.heartbeats() == {"received": 3, "missed": 2, "restarts": 0}
    assert talk.analysis.gauges()["hosts"] == 1


def test_a_beat_says_which_is_the_host_and_which_its_vcenter(talk: Talk) -> None:
    beat(talk, 0, 1)
    services = talk.analysis.services
    assert (services.of_client(ESX1), services.of_client(VC)) == ("ESX", "VC")
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("22"), user="vpxuser")
    talk.finish()
    assert talk.path("PowerOffVM_Task") == "?:?:ESX:vpxuser"


def test_who_is_no_vcenter_is_known_by_the_beats(talk: Talk) -> None:
    beat(talk, 0, 1)
    talk.login(ADMIN, ESX1, "root")
    talk.login(VC, ESX1, "root")
    assert talk.alerts() == ["direct_host_login"]


def test_a_beat_does_not_outweigh_what_a_server_said(talk: Talk) -> None:
    """Anybody can send one."""
    talk = Talk()
    beat(talk, 0, 1, host=VC, vcenter=ESX1)
    services = talk.analysis.services
    assert (services.of_client(ESX1), services.of_client(VC)) == ("ESX", "VC")


def test_the_host_is_named_in_other_records(talk: Talk) -> None:
    beat(talk, 0, 1)
    talk.call(BOB, ESX1, "PowerOffVM_Task", vm("22"), user="root")
    talk.login(BOB, ESX1, "operator")
    talk.finish()
    assert talk.find("PowerOffVM_Task").to.host == KEY
    assert talk.find("Login").to.host == KEY and talk.find("Login").source.host == ""


def test_it_is_named_as_the_inventory_names_it(talk: Talk) -> None:
    talk.object(BOB, VC, Target("HostSystem", "host-9", "esx1.lab"), uuid=KEY)
    beat(talk, 0, 1)
    talk.call(BOB, ESX1, "PowerOffVM_Task", vm("22"), user="root")
    talk.finish()
    assert talk.find("PowerOffVM_Task").to.host == "esx1.lab"


def test_a_host_that_is_new_after_the_first_minute(talk: Talk) -> None:
    assert beat(talk, 0, 1) == []
    assert beat(talk, 59, 1, ESX2, host_key="other") == []
    [alert] = beat(talk, 61, 1, "10.0.4.66", host_key="third")
    assert (alert.kind, alert.reason) == ("alert", "new_host")
    assert alert.extra == {"record": alert.id, "value": f"third build {BUILD}"}
    assert (alert.source.ip, alert.source.service, alert.source.host) == (
        "10.0.4.66", "ESX", "third",
    )  # fmt: skip
    assert (alert.to.ip, alert.to.service, alert.flow.proto) == (VC, "VC", "udp")
    assert beat(talk, 71, 2, "10.0.4.66", host_key="third") == []


def test_a_known_host_at_another_address_is_new(talk: Talk) -> None:
    beat(talk, 0, 1)
    assert [each.reason for each in beat(talk, 61, 2, "10.0.4.66")] == ["new_host"]


def test_a_changed_build_and_another_vcenter(talk: Talk) -> None:
    beat(talk, 0, 1)
    [build] = beat(talk, 10, 2, build=BUILD + 1)
    assert (build.reason, build.extra["value"]) == ("host_build_changed", f"{BUILD} {BUILD + 1}")
    assert beat(talk, 20, 3, build=BUILD + 1) == []
    [moved] = beat(talk, 30, 4, build=BUILD + 1, vcenter="10.0.3.99")
    assert (moved.reason, moved.extra["value"]) == ("host_vcenter_changed", f"{VC} 10.0.3.99")
