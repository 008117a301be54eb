"""An account at a forward proxy is a level of its own: above whatever goes through the proxy."""

from typing import Any

import pytest

from decoders.message import LoginMethod, Outcome, ProxyLogin
from sensor.records import Record
from tests.sensor.talk import ALICE, BOB, ESX1, PROXY, VC, VCD, Talk, flow_of, vm

PORT = 3128
IDLE_S = 1801


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.records.clear()
    return talk


def connect(talk: Talk, client: str, user: str, port: int = PORT, **more: Any) -> list[Record]:
    fields: dict[str, Any] = {
        "user": user, "method": LoginMethod.BASIC, "outcome": Outcome.SUCCESS,
        "token": f"credentials of {user}", "destination": "vc.lab:443", **talk.span(), **more,
    }  # fmt: skip
    return talk.say(client, PROXY, ProxyLogin(**fields), port=port)


def test_the_proxys_user_heads_what_goes_through_its_tunnel(talk: Talk) -> None:
    """Only the leg before the proxy was tapped: the flow is the same one."""
    [login] = connect(talk, BOB, "bob")
    assert (login.kind, login.to.service, login.to.user) == ("login", "PXY", "bob")
    assert (login.chain and login.chain.path, login.extra) == (
        "PXY:bob",
        {"destination": "vc.lab:443"},
    )
    talk.login(BOB, PROXY, "admin@vsphere.local", port=PORT)
    talk.call(BOB, PROXY, "Destroy_Task", vm("vm-1"), port=PORT)
    talk.finish()
    assert talk.path("Login") == "PXY:bob:?:admin@vsphere.local"
    assert talk.path("Destroy_Task") == "PXY:bob:?:admin@vsphere.local"


def test_both_legs_are_one_hop_under_the_proxys_user(talk: Talk) -> None:
    """A clear request in absolute form: the leg behind the proxy ends first."""
    connect(talk, BOB, "bob")
    talk.login(PROXY, VC, "admin", new="t1", at=10, lasts=0.010)
    talk.login(BOB, PROXY, "admin", new="t1", at=9.999, lasts=0.012, port=PORT)
    talk.call(PROXY, VC, "Destroy_Task", vm("vm-1"), token="t1", at=11, lasts=0.010)
    talk.call(BOB, PROXY, "Destroy_Task", vm("vm-1"), token="t1", at=10.999, lasts=0.012, port=PORT)
    talk.finish()
    connected, login = talk.find("CONNECT"), talk.find("Login")
    assert login.chain and login.hop
    assert (login.chain.path, login.hop.cause) == ("PXY:bob:VC:admin", "explicit")
    assert login.hop.parent_id == connected.id
    assert talk.cause("Destroy_Task") == ("explicit", 1.0)
    assert "proxy_account" in talk.evidence("Destroy_Task")
    assert talk.path("Destroy_Task") == "PXY:bob:VC:admin"
    assert talk.find("Destroy_Task").source.ip == BOB


def test_each_flow_has_its_own_user(talk: Talk) -> None:
    connect(talk, BOB, "bob", port=1)
    connect(talk, ALICE, "alice", port=2)
    talk.login(BOB, PROXY, "shared", new="t", port=1)
    talk.call(ALICE, PROXY, "PowerOnVM_Task", vm("vm-1"), token="t", port=2)
    talk.call(BOB, PROXY, "Destroy_Task", vm("vm-2"), token="t", port=1)
    talk.finish()
    assert talk.path("PowerOnVM_Task") == "PXY:alice:?:shared"
    assert talk.path("Destroy_Task") == "PXY:bob:?:shared"


def test_a_flow_that_is_over_leaves_no_user_behind(talk: Talk) -> None:
    connect(talk, BOB, "bob")
    talk.analysis.flow_end(flow_of(BOB, PROXY, PORT), talk.now_ns)
    talk.login(BOB, PROXY, "admin", new="t", port=PORT)
    assert "PXY" not in talk.path("Login")


def test_using_the_proxy_further_is_no_new_login(talk: Talk) -> None:
    assert len(connect(talk, BOB, "bob", port=1)) == 1
    assert connect(talk, BOB, "bob", port=2) == []
    assert len(connect(talk, BOB, "carol", port=3)) == 1
    talk.wait(IDLE_S)
    assert len(connect(talk, BOB, "bob", port=4)) == 1


def test_a_refusal_is_told_each_time_and_names_nobody_on_the_flow(talk: Talk) -> None:
    for _ in range(2):
        [login] = connect(talk, BOB, "bob", outcome=Outcome.FAILURE, fault="HTTP 407")
        assert (login.outcome, login.fault, login.to.service) == ("failure", "HTTP 407", "PXY")
    talk.login(BOB, PROXY, "admin", new="t", port=PORT)
    assert "PXY" not in talk.path("Login")


def test_a_services_proxy_account_stands_between_the_service_and_what_it_calls(talk: Talk) -> None:
    talk.login(BOB, VCD, "bob@acme")
    connect(talk, VCD, "svc-proxy")
    talk.call(BOB, VCD, "DELETE vApp", request_id="r1")
    talk.login(VCD, PROXY, "vCloudService", new="t", port=PORT)
    talk.call(VCD, PROXY, "Destroy_Task", vm("vm-1"), token="t", operation_id="r1", port=PORT)
    talk.finish()
    assert talk.path("Destroy_Task") == "VCD:bob@acme:PXY:svc-proxy:?:vCloudService"


def test_the_level_goes_down_with_the_chain(talk: Talk) -> None:
    connect(talk, BOB, "bob")
    talk.login(PROXY, VC, "admin", new="t1", at=10, lasts=0.010)
    talk.login(BOB, PROXY, "admin", new="t1", at=9.999, lasts=0.012, port=PORT)
    call: dict[str, Any] = {"operation_id": "op1", "task": "task-1"}
    talk.call(PROXY, VC, "Destroy_Task", vm("vm-1"), token="t1", at=11, lasts=0.010, **call)
    talk.call(
        BOB,
        PROXY,
        "Destroy_Task",
        vm("vm-1"),
        token="t1",
        at=10.999,
        lasts=0.012,
        port=PORT,
        **call,
    )
    talk.call(VC, ESX1, "Destroy_Task", vm("7"), operation_id="op1-01", at=11.02)
    talk.finish()
    paths = [
        record.chain.path
        for record in talk.records
        if record.op and record.op.name == "Destroy_Task" and record.to.ip == ESX1 and record.chain
    ]
    assert paths[-1] == "PXY:bob:VC:admin:ESX:vpxuser"
