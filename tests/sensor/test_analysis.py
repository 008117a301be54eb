"""Records of logins, logouts, gaps and proxies, as the application asks for them."""

from dataclasses import replace
from typing import Any

import pytest

from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    Outcome,
    ServerSeen,
)
from sensor.analysis import Analysis
from sensor.calls import UNNAMED_SESSIONS_MAX
from sensor.flows import Flow
from sensor.records import FlowRef, SensorRef, as_dict
from tests.sensor.talk import (
    ADMIN,
    ALICE,
    BOB,
    ESX1,
    MS,
    PROXY,
    SERVICES,
    VC,
    VCD,
    Numbered,
    Talk,
    flow_of,
    vapp,
    vm,
)

SECOND = 10**9


def test_a_login_is_said_at_once_and_whole() -> None:
    talk = Talk(sensor=SensorRef("sensor-1"))
    talk.records.clear()
    talk.login(
        BOB, VC, "VSPHERE.LOCAL\\bob", "t", session="k", claimed="bob", client_address=BOB,
        method=LoginMethod.SAML, delegates=("portal",), user_agent="agent/1", operation_id="op",
    )  # fmt: skip
    [record] = talk.records
    plain = as_dict(record)
    assert plain == {
        "schema": "hop/1",
        "kind": "login",
        "ts": record.ts,
        "ts_end": record.ts_end,
        "id": record.id,
        "visibility": "clear",
        "chain": {
            "id": record.id,
            "path": "STS:VSPHERE.LOCAL\\\\bob:STS:portal:VC:VSPHERE.LOCAL\\\\bob",
            "users": ["VSPHERE.LOCAL\\bob", "portal", "VSPHERE.LOCAL\\bob"],
            "services": ["STS", "STS", "VC"],
            "depth": 3,
        },
        "hop": {
            "index": 2,
            "count": 3,
            "service": "VC",
            "user": "VSPHERE.LOCAL\\bob",
            "cause": "explicit",
            "confidence": 1.0,
            "evidence": [
                {"key": "client_address", "value": BOB, "grade": "asserted"},
                {"key": "delegate", "value": "portal", "grade": "proved"},
                {"key": "claimed_user", "value": "bob", "grade": "claimed"},
            ],
        },
        "from": {"ip": BOB, "port": record.source.port},
        "to": {
            "ip": VC,
            "port": 443,
            "service": "VC",
            "user": "VSPHERE.LOCAL\\bob",
            "session": "k",
        },
        "op": {"name": "Login", "api": "vim25", "class": "login", "id": "op", "method": "saml"},
        "outcome": "success",
        "flow": {"proto": "tcp", "community_id": "1:id", "uid": record.flow.uid},
        "client": {"user_agent": "agent/1"},
        "sensor": {"id": "sensor-1"},
    }


def test_a_service_logging_in_is_a_chain_of_its_own() -> None:
    talk = Talk()
    talk.login(VCD, VC, "vCloudService")
    record = talk.records[-1]
    assert record.chain and record.chain.path == "VC:vCloudService"
    assert (record.source.service, record.chain.depth) == ("VCD", 1)


def test_a_logout_is_said_at_once() -> None:
    talk = Talk()
    talk.login(BOB, VC, "bob", "t")
    talk.records.clear()
    logout = Logout(
        api="vim25", operation="Logout", token="t", outcome=Outcome.SUCCESS, **talk.span()
    )
    talk.say(BOB, VC, logout)
    [record] = talk.records
    assert (record.kind, record.outcome) == ("logout", "success")
    assert record.chain and record.chain.path == "VC:bob"


def test_how_it_was_seen_is_said() -> None:
    analysis = Analysis(new_id=Numbered())
    message = ServerSeen(service="VC", time_ns=1, end_ns=2)
    analysis.message(flow_of(BOB, VC), message, "decrypted")
    talk = Talk()
    talk.call(BOB, VC, "Destroy_Task", vm("vm-1"))
    talk.finish()
    assert talk.find("Destroy_Task").visibility == "clear"


def test_visibility_and_flow_are_those_of_the_message() -> None:
    talk = Talk()
    flow = Flow(6, BOB, 5000, VC, 443, 7, "vxlan", "1:x", "C9", 0)
    talk.login(BOB, VC, "bob", "t")
    message = _call_of(talk, token="t")
    talk.records += talk.analysis.message(flow, message, "decrypted")
    talk.finish()
    record = talk.find("Destroy_Task")
    assert record.visibility == "decrypted"
    assert record.flow == FlowRef("tcp", "1:x", "C9", 7, "vxlan")


def test_gaps_of_a_flow_close_together_are_one() -> None:
    talk = Talk(strangers=True)
    flow, other = flow_of(BOB, VC, 1), flow_of(ALICE, VC, 2)
    assert talk.analysis.gap(flow, 0, 100, SECOND) == []
    assert talk.analysis.gap(flow, 1, 50, SECOND + SECOND // 2) == []
    assert talk.analysis.gap(other, 0, 7, SECOND + SECOND // 2) == []
    first, second = talk.analysis.advance(4 * SECOND)
    assert (first.kind, first.gap_bytes, first.ts, first.ts_end) == (
        "gap", 150, SECOND, SECOND + SECOND // 2,
    )  # fmt: skip
    assert (first.source.ip, first.to.ip, first.reason) == (BOB, VC, "bytes not captured")
    assert second.gap_bytes == 7
    assert talk.analysis.advance(9 * SECOND) == []


def test_gaps_of_a_flow_far_apart_are_two() -> None:
    analysis = Analysis(new_id=Numbered())
    flow = flow_of(BOB, VC)
    assert analysis.gap(flow, 0, 1, SECOND) == []
    [first] = analysis.gap(flow, 0, 2, 3 * SECOND)
    [second] = analysis.flow_end(flow, 3 * SECOND)
    assert (first.gap_bytes, second.gap_bytes) == (1, 2)
    assert analysis.finish() == []


def test_a_gap_at_the_end_of_the_input_is_said() -> None:
    analysis = Analysis(new_id=Numbered())
    analysis.gap(flow_of(BOB, VC), 0, 9, SECOND)
    [record] = analysis.finish()
    assert record.gap_bytes == 9


def test_a_proxy_header_names_the_client() -> None:
    talk = Talk()
    flow = flow_of(PROXY, VC, 777)
    talk.analysis.proxy_header(flow, BOB, 4711, talk.now_ns)
    talk.login(BOB, VC, "bob", "t")
    talk.call(PROXY, VC, "Destroy_Task", vm("vm-1"), token="t", port=777)
    talk.finish()
    record = talk.find("Destroy_Task")
    assert (record.source.ip, record.source.port, record.source.service) == (BOB, 4711, "")
    assert talk.evidence("Destroy_Task") == ["proxy_header"]
    assert talk.alerts() == []


def test_a_proxy_before_a_cloud_needs_no_configuration() -> None:
    talk = Talk()
    talk.login(BOB, VCD, "bob@acme")
    talk.login(PROXY, VC, "vCloudService", "t", forwarded_for=VCD)
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="q")
    talk.call(PROXY, VC, "Destroy_Task", vm("vm-1"), token="t", operation_id="q", forwarded_for=VCD)
    talk.call(PROXY, VC, "PowerOnVM_Task", vm("vm-2"), token="t", forwarded_for=VCD)
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "VCD:bob@acme:VC:vCloudService"
    assert talk.path("PowerOnVM_Task", VC) == "?:?:VC:vCloudService"


def test_who_poses_as_a_cloud_gains_no_certainty() -> None:
    talk = Talk()
    talk.login(ADMIN, VC, "admin")
    talk.call(ADMIN, VC, "Destroy_Task", vm("vm-1"), forwarded_for=VCD)
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "?:?:VC:admin"
    assert talk.cause("Destroy_Task", VC) == ("none", 0.0)
    assert talk.evidence("Destroy_Task", VC) == ["forwarded_for"]


def test_a_proxy_header_may_name_no_address() -> None:
    talk = Talk(trusted_proxies=[PROXY])
    talk.analysis.proxy_header(flow_of(PROXY, VC, 777), "/run/local.sock", 0, talk.now_ns)
    talk.call(PROXY, VC, "Destroy_Task", vm("vm-1"), user="bob", port=777)
    talk.finish()
    assert talk.find("Destroy_Task").source.ip == "/run/local.sock"


def test_a_proxy_that_names_its_client_needs_no_amendment_when_both_legs_are_seen() -> None:
    talk = Talk(trusted_proxies=[PROXY])
    message = replace(_login_of(talk, "bob"), forwarded_for=BOB)
    talk.say(PROXY, VC, _within(message), 1)
    talk.say(BOB, PROXY, replace(message, forwarded_for=""), 2)
    assert [(each.kind, each.source.ip) for each in talk.records[-2:]][-1] == ("login", BOB)
    assert talk.amendments() == []


def test_a_message_of_a_kind_not_known_is_passed_over() -> None:
    assert Analysis().message(flow_of(BOB, VC), Message(time_ns=1, end_ns=2)) == []


def test_a_cloud_that_calls_through_a_proxy_is_still_the_cloud() -> None:
    talk = Talk(trusted_proxies=[PROXY])
    talk.login(BOB, VCD, "bob@acme")
    talk.login(VCD, VC, "vCloudService", "t")
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="q")
    talk.call(PROXY, VC, "Destroy_Task", vm("vm-1"), token="t", operation_id="q", forwarded_for=VCD)
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "VCD:bob@acme:VC:vCloudService"
    assert talk.find("Destroy_Task", VC).source.ip == VCD


def both_legs(talk: Talk, client: str, server: str, message: Message, port: int) -> None:
    """A request through the proxy, whose legs are both seen: the one behind it ends first."""
    behind = _within(message)
    talk.say(PROXY, server, behind, port + 10000)
    talk.say(client, PROXY, message, port)


def test_a_proxy_whose_both_legs_are_seen() -> None:
    """What is asked through it is one action, of its client, at its server."""
    talk = Talk()
    talk.login(BOB, VC, "bob", "t")
    for number in range(3):
        both_legs(talk, BOB, VC, _call_of(talk, number, token="t"), 6000 + number)
    talk.finish()
    actions = [each for each in talk.records if each.kind == "action"]
    assert len(actions) == 3
    for number in range(3):
        record = talk.find(f"Destroy_Task_{number}" if number else "Destroy_Task")
        assert (record.source.ip, record.to.ip) == (BOB, VC)
        assert record.source.service == ""
    assert talk.path("Destroy_Task") == "VC:bob"
    assert talk.alerts() == []
    assert "proxy" in talk.evidence("Destroy_Task")


def test_logins_through_a_proxy_whose_both_legs_are_seen() -> None:
    talk = Talk()
    talk.records.clear()
    for number in range(3):
        message = _login_of(talk, f"user{number}")
        both_legs(talk, BOB, VC, message, 6000 + number)
    talk.finish()
    logins = [each for each in talk.records if each.kind == "login"]
    assert [each.source.ip for each in logins] == [PROXY, BOB, BOB]
    [amendment] = [each for each in talk.records if each.kind == "chain"]
    assert (amendment.source.ip, amendment.amends) == (BOB, logins[0].id)
    assert len({each.to.user for each in logins}) == 3


def test_a_login_whose_other_leg_does_not_come_is_said_all_the_same() -> None:
    talk = Talk()
    for number in range(2):
        both_legs(talk, BOB, VC, _login_of(talk, f"user{number}"), 6000 + number)
    talk.records.clear()
    talk.login(PROXY, VC, "carol")
    assert talk.records == []
    talk.wait(3)
    [record] = talk.records
    assert (record.kind, record.to.user, record.source.ip) == ("login", "carol", PROXY)


def test_what_a_proxy_passes_on_is_not_the_proxys() -> None:
    """It answers as the vCenter behind it, but what it asks is not the vCenter's doing."""
    talk = Talk(strangers=True)
    for server in SERVICES:
        talk.say(ADMIN, server, ServerSeen(service=SERVICES[server], **talk.span()))
    both_legs(talk, BOB, VC, ServerSeen(service="VC", user_agent="x", **talk.span()), 6000)
    assert talk.analysis.services.of_client(PROXY) == ""
    both_legs(talk, BOB, VC, _login_of(talk, "bob", "t"), 6001)
    both_legs(talk, BOB, VC, _call_of(talk, token="t"), 6002)
    talk.finish()
    assert talk.path("Destroy_Task") == "VC:bob"
    assert talk.cause("Destroy_Task") == ("none", 1.0)


def test_sessions_without_a_name_are_bounded() -> None:
    talk = Talk()
    for number in range(UNNAMED_SESSIONS_MAX + 3):
        talk.call(BOB, VC, "Destroy_Task", vm("vm-1"), token=f"t{number}")
    assert talk.analysis.gauges()["unnamed_sessions_shed"] == 3


def test_gauges_are_numbers_of_every_table() -> None:
    talk = Talk()
    talk.call(BOB, VC, "Destroy_Task", vm("vm-1"), task="t")
    gauges = talk.analysis.gauges()
    assert gauges["actions"] == 1 and gauges["actions_pending"] == 1
    assert all(value >= 0 for value in gauges.values())
    talk.finish()
    assert talk.analysis.gauges()["actions_pending"] == 0


def test_the_same_messages_give_the_same_records() -> None:
    def conversation() -> list[dict[str, object]]:
        talk = Talk()
        talk.login(BOB, VCD, "bob@acme")
        for number in range(20):
            talk.call(BOB, VCD, "DELETE vApp", vapp(f"{number}"), task=f"t-{number}")
            talk.call(VCD, VC, "Destroy_Task", vm(f"vm-{number}"), task=f"v-{number}")
            talk.call(VC, ESX1, "Destroy_Task", vm(f"{number}"))
            talk.wait(number * 0.3)
        talk.finish()
        return [as_dict(record) for record in talk.records]

    assert conversation() == conversation()


@pytest.mark.parametrize("watermark", [0, 1])
def test_an_idle_analysis_says_nothing(watermark: int) -> None:
    analysis = Analysis()
    assert analysis.advance(watermark * SECOND) == []
    assert analysis.finish() == []


def _call_of(talk: Talk, number: int = 0, **more: Any) -> Call:
    fields: dict[str, Any] = {
        "api": "vim25",
        "operation": f"Destroy_Task_{number}" if number else "Destroy_Task",
        "operation_class": OperationClass.DELETE,
        "target": vm(f"vm-{number}"),
        "outcome": Outcome.SUCCESS,
        **talk.span(lasts=0.008),
        **more,
    }
    return Call(**fields)


def _login_of(talk: Talk, user: str, token: str = "") -> Login:
    start_ns, end_ns = talk.span(lasts=0.008).values()
    return Login(
        api="vim25",
        operation="Login",
        method=LoginMethod.PASSWORD,
        outcome=Outcome.SUCCESS,
        user=user,
        claimed=user,
        new_tokens=(token or f"token-{user}",),
        time_ns=start_ns,
        end_ns=end_ns,
    )


def _within(message: Message) -> Message:
    """The same, a millisecond later and done a millisecond earlier."""
    return replace(message, time_ns=message.time_ns + MS, end_ns=message.end_ns - MS)
