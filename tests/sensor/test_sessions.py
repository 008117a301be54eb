"""Who a token stands for, from login to end."""

import json
from typing import Any

import pytest

from decoders.message import (
    Login,
    LoginMethod,
    Logout,
    Outcome,
    SessionExpired,
    SessionSeen,
    TicketIssued,
)
from sensor.analysis import AnalysisLimits
from sensor.sessions import Sessions
from tests.sensor.talk import ADMIN, ALICE, BOB, ESX1, MS, PROXY, VC, Talk, vm


@pytest.fixture
def talk() -> Talk:
    return Talk()


def act(talk: Talk, client: str, token: str, number: int, **more: Any) -> None:
    talk.call(client, VC, f"Destroy_Task_{number}", vm(f"vm-{number}"), token=token, **more)


def who(talk: Talk, number: int) -> str:
    return talk.path(f"Destroy_Task_{number}").removeprefix("VC:")


def test_the_identity_binds_at_the_login_not_at_the_cookie(talk: Talk) -> None:
    """A cookie is there before the login and stays the same."""
    act(talk, BOB, "cookie", 1)
    talk.login(BOB, VC, "bob", token="cookie")
    act(talk, BOB, "cookie", 2)
    talk.finish()
    assert who(talk, 1) == "?"
    assert who(talk, 2) == "bob"
    assert talk.amendments() == []


def test_a_token_is_shared_by_connections_and_a_connection_by_tokens(talk: Talk) -> None:
    talk.login(BOB, VC, "bob", "t-bob")
    talk.login(BOB, VC, "alice", "t-alice")
    for number, token in enumerate(("t-bob", "t-alice", "t-alice", "t-bob")):
        act(talk, BOB, token, number, port=5000 + number % 2)
    talk.finish()
    assert [who(talk, number) for number in range(4)] == ["bob", "alice", "alice", "bob"]


def test_a_refused_login_changes_nothing(talk: Talk) -> None:
    talk.login(BOB, VC, "bob", "cookie")
    talk.login(BOB, VC, "root", token="cookie", outcome=Outcome.FAILURE, fault="InvalidLogin")
    act(talk, BOB, "cookie", 1)
    talk.finish()
    assert who(talk, 1) == "bob"
    refused = talk.find("Login", VC, -1)
    assert (refused.outcome, refused.fault, refused.to.user) == ("failure", "InvalidLogin", "root")


def test_a_login_on_the_same_cookie_is_another_person_from_then_on(talk: Talk) -> None:
    talk.login(BOB, VC, "bob", "cookie")
    act(talk, BOB, "cookie", 1)
    talk.login(BOB, VC, "root", token="cookie")
    act(talk, BOB, "cookie", 2)
    talk.finish()
    assert (who(talk, 1), who(talk, 2)) == ("bob", "root")


def test_a_cloned_session_is_the_same_person_and_says_from_where(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin", "t-1", session="k-1")
    talk.say(ADMIN, VC, TicketIssued(kind="clone", ticket="x", token="t-1", **talk.span()))
    talk.login(
        ALICE, VC, "admin", "t-2", operation="CloneSession", method=LoginMethod.CLONE, ticket="x"
    )
    act(talk, ALICE, "t-2", 1)
    talk.finish()
    assert who(talk, 1) == "admin"
    clone = talk.find("CloneSession")
    assert clone.hop and clone.op and clone.op.method == "clone"
    assert [(each.key, each.value) for each in clone.hop.evidence] == [
        ("ticket", "x"),
        ("derived_from", "k-1"),
    ]
    assert clone.hop.parent_id == talk.find("Login", VC, -1).id
    assert talk.path("CloneSession") == "VC:admin"


def test_a_ticket_redeemed_twice_is_told_of(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin", "t-1")
    talk.say(ADMIN, VC, TicketIssued(kind="clone", ticket="x", token="t-1", **talk.span()))
    for number, outcome in enumerate((Outcome.SUCCESS, Outcome.FAILURE)):
        talk.login(
            ALICE, VC, "", f"c-{number}", operation="CloneSession", method=LoginMethod.CLONE,
            ticket="x", outcome=outcome,
        )  # fmt: skip
    assert talk.alerts() == ["ticket_reused"]
    assert talk.path("CloneSession", VC, 1) == "VC:admin"  # whose identity was asked for


def test_impersonation_keeps_who_is_behind_it(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin", "t-1")
    talk.login(
        ADMIN, VC, "bob", "t-2", operation="ImpersonateUser", token="t-1",
        method=LoginMethod.IMPERSONATION,
    )  # fmt: skip
    act(talk, ADMIN, "t-2", 1)
    act(talk, ADMIN, "t-1", 2)
    talk.finish()
    assert talk.path("ImpersonateUser") == "VC:admin:VC:bob"
    assert talk.path("Destroy_Task_1") == "VC:admin:VC:bob"
    assert talk.path("Destroy_Task_2") == "VC:admin"
    login, action = talk.find("ImpersonateUser"), talk.find("Destroy_Task_1")
    assert login.hop and login.hop.parent_id == talk.find("Login", VC, -1).id
    assert action.hop and action.hop.parent_id == login.id
    assert "impersonation" in talk.evidence("Destroy_Task_1")
    assert action.to.user == "bob"


def test_impersonation_on_the_same_cookie(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin", "t-1")
    talk.login(
        ADMIN, VC, "bob", token="t-1", operation="ImpersonateUser",
        method=LoginMethod.IMPERSONATION,
    )  # fmt: skip
    act(talk, ADMIN, "t-1", 1)
    talk.finish()
    assert talk.path("Destroy_Task_1") == "VC:admin:VC:bob"


def test_a_session_terminated_by_its_key(talk: Talk) -> None:
    talk.login(BOB, VC, "bob", "t-bob", session="k-bob")
    talk.login(ADMIN, VC, "admin", "t-admin", session="k-admin")
    talk.say(
        ADMIN,
        VC,
        Logout(
            api="vim25",
            operation="TerminateSession",
            outcome=Outcome.SUCCESS,
            token="t-admin",
            sessions=("k-bob",),
            **talk.span(),
        ),
    )
    record = talk.find("TerminateSession")
    assert (record.to.user, record.target.name, record.target.id) == ("admin", "bob", "k-bob")
    act(talk, BOB, "t-bob", 1)
    act(talk, ADMIN, "t-admin", 2)
    talk.finish()
    assert (who(talk, 1), who(talk, 2)) == ("bob", "admin")
    assert talk.alerts() == ["token_after_logout"]


def logout(talk: Talk, client: str, token: str, **more: Any) -> None:
    fields = {"outcome": Outcome.SUCCESS, **talk.span(), **more}
    talk.say(client, VC, Logout(api="vim25", operation="Logout", token=token, **fields))


def test_a_token_used_after_its_logout_is_told_of_once(talk: Talk) -> None:
    talk.login(BOB, VC, "bob", "t-bob")
    logout(talk, BOB, "t-bob")
    act(talk, ADMIN, "t-bob", 1)
    act(talk, ADMIN, "t-bob", 2)
    talk.finish()
    assert talk.alerts().count("token_after_logout") == 1


def test_what_was_under_way_at_the_logout_is_no_alert(talk: Talk) -> None:
    talk.login(BOB, VC, "bob", "t-bob")
    logout(talk, BOB, "t-bob", time_ns=talk.now_ns, end_ns=talk.now_ns + 50 * MS)
    before = (talk.now_ns - 10 * MS - 1_800_000_000 * 10**9) / 1e9
    act(talk, BOB, "t-bob", 1, at=before, lasts=0.1)
    talk.finish()
    assert talk.alerts() == []


def test_a_refused_logout_ends_nothing(talk: Talk) -> None:
    talk.login(BOB, VC, "bob", "t-bob")
    logout(talk, BOB, "t-bob", outcome=Outcome.FAILURE)
    act(talk, BOB, "t-bob", 1)
    talk.finish()
    assert talk.alerts() == []


def test_cookie_and_session_key_are_two_things_that_belong_together(talk: Talk) -> None:
    """The login was missed; a read of the session list tells the names, another read the key."""
    act(talk, BOB, "t-bob", 1)
    talk.wait(5)
    assert who(talk, 1) == "?"
    seen = SessionSeen(session="k-bob", user="bob", **talk.span())
    talk.say(ADMIN, VC, seen)
    assert who(talk, 1) == "?"
    talk.say(BOB, VC, SessionSeen(token="t-bob", session="k-bob", **talk.span()))
    assert who(talk, 1) == "bob"
    assert talk.amendments() == ["identity learned"]
    act(talk, BOB, "t-bob", 2)
    talk.finish()
    assert who(talk, 2) == "bob"
    assert talk.find("Destroy_Task_2").to.session == "k-bob"


def test_a_late_name_goes_down_the_chain(talk: Talk) -> None:
    talk.call(BOB, VC, "Destroy_Task", vm("vm-1", "web"), token="t-bob", operation_id="x")
    talk.call(VC, ESX1, "Destroy_Task", vm("22", "web"), operation_id="x-01")
    talk.wait(5)
    assert talk.path("Destroy_Task", ESX1) == "VC:?:ESX:vpxuser"
    talk.say(BOB, VC, SessionSeen(token="t-bob", user="bob", **talk.span()))
    assert talk.path("Destroy_Task", ESX1) == "VC:bob:ESX:vpxuser"
    amended = [each for each in talk.records if each.kind == "chain"]
    assert len(amended) == 2
    assert all(each.chain and each.chain.id == each.amends for each in amended)


def test_a_task_names_who_started_it(talk: Talk) -> None:
    act(talk, BOB, "t-bob", 1, task="task-1")
    talk.task(BOB, VC, "task-1", user="VSPHERE.LOCAL\\bob")
    talk.finish()
    assert who(talk, 1) == "VSPHERE.LOCAL\\\\bob"
    assert talk.amendments() == []


def test_amendments_of_an_unknown_session_are_bounded(talk: Talk) -> None:
    for number in range(300):
        act(talk, BOB, "t-bob", number, lasts=0.001)
    talk.wait(5)
    said = talk.say(BOB, VC, SessionSeen(token="t-bob", user="bob", **talk.span()))
    assert len(said) == 256


def test_an_identity_carried_by_the_call_itself(talk: Talk) -> None:
    act(talk, BOB, "", 1, user="bob@acme")
    talk.finish()
    assert who(talk, 1) == "bob@acme"


def test_an_expired_token_that_is_taken_again_is_alive(talk: Talk) -> None:
    talk.login(BOB, VC, "bob", "t-bob")
    talk.say(BOB, VC, SessionExpired(token="t-bob", **talk.span()))
    active = talk.analysis.gauges()["sessions_active"]
    act(talk, BOB, "t-bob", 1)
    talk.finish()
    assert talk.analysis.gauges()["sessions_active"] == active + 1
    assert who(talk, 1) == "bob" and talk.alerts() == []


def test_an_idle_session_is_over_but_comes_back_with_its_name() -> None:
    """Polls keep a session alive at the server, and are not handed up."""
    talk = Talk(strangers=True, limits=AnalysisLimits(idle_timeout_ns=60 * 10**9))
    talk.login(BOB, VC, "bob", "t-bob")
    talk.wait(59)
    assert talk.analysis.gauges()["sessions_active"] == 1
    talk.wait(2)
    assert talk.analysis.gauges()["sessions_active"] == 0
    act(talk, BOB, "t-bob", 1)
    talk.finish()
    assert talk.find("Destroy_Task_1").to.user == "bob"
    assert talk.analysis.gauges()["sessions_active"] == 1


def test_one_session_from_two_addresses_is_told_of_once(talk: Talk) -> None:
    talk.login(BOB, VC, "bob", "t-bob")
    for number, client in enumerate((BOB, ALICE, ALICE, BOB)):
        act(talk, client, "t-bob", number)
    talk.finish()
    assert talk.alerts() == ["session_from_two_addresses"]


def test_a_proxy_in_between_is_no_second_address(talk: Talk) -> None:
    talk.analysis.services.proxy(PROXY)
    talk.login(BOB, VC, "bob", "t-bob")
    act(talk, PROXY, "t-bob", 1)
    act(talk, BOB, "t-bob", 2)
    talk.finish()
    assert talk.alerts() == []


def test_tables_are_bounded_and_count_what_they_shed() -> None:
    sessions = Sessions(sessions_max=10, tickets_max=5)
    for number in range(30):
        sessions.of_token(f"t-{number}", number)
        sessions.issue(
            TicketIssued(kind="clone", ticket=f"x-{number}", token="t-0", time_ns=1, end_ns=2)
        )
    assert len(sessions) == 10
    assert sessions.shed >= 20 and sessions.tickets_shed == 25


def test_ended_sessions_leave_before_those_in_use() -> None:
    sessions = Sessions(sessions_max=2)
    sessions.of_token("used", 1)
    sessions.of_token("ended", 2)
    sessions.expire("ended", 3)
    sessions.of_token("new", 4)
    kept = [session["tokens"] for session in sessions.dump()["sessions"]]
    assert kept == [["used"], ["new"]]


def test_tokens_of_one_session_are_bounded() -> None:
    sessions = Sessions()
    login = Login(
        api="vim25", operation="Login", method=LoginMethod.PASSWORD, outcome=Outcome.SUCCESS,
        user="bob", new_tokens=tuple(f"t-{number}" for number in range(100)), time_ns=1, end_ns=2,
    )  # fmt: skip
    session = sessions.login(login, VC, BOB)
    assert session is not None and len(session.tokens) == 16
    unknown = sessions.of_token("t-0", 3)
    assert unknown is not None and unknown.user == ""


def test_everything_can_be_stored_as_json_and_taken_up_again(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin", "t-1", session="k-1")
    talk.say(ADMIN, VC, TicketIssued(kind="clone", ticket="x", token="t-1", **talk.span()))
    talk.login(
        ADMIN, VC, "bob", "t-2", operation="ImpersonateUser", token="t-1",
        method=LoginMethod.IMPERSONATION,
    )  # fmt: skip
    logout(talk, ADMIN, "t-1")
    stored = json.loads(json.dumps(talk.analysis.sessions.dump()))
    loaded = Sessions()
    loaded.load(stored)
    assert loaded.dump() == talk.analysis.sessions.dump()
    assert loaded.active == talk.analysis.sessions.active
    known = loaded.of_token("t-2", 5)
    assert known is not None and known.user == "bob" and known.actors[0][0] == "admin"
    assert loaded.redeemed("x") == 0


def test_an_api_token_buys_a_session_of_its_account(talk: Talk) -> None:
    """Made in bob's session; what it buys later may name nobody."""
    talk.login(BOB, VC, "bob", "access")
    method = LoginMethod.TOKEN
    talk.login(BOB, VC, "bob", "api-token", token="access", method=method)
    talk.login(ADMIN, VC, "", "bought", token="api-token", method=method, claimed="")
    act(talk, ADMIN, "bought", 1)
    talk.finish()
    assert who(talk, 1) == "bob"
    assert talk.alerts() == []
