"""Single Sign-On: a token that a person got, who acts with it, and where it is shown."""

from typing import Any

import pytest

from decoders.message import LoginMethod, Outcome
from tests.sensor.talk import ADMIN, BOB, ESX1, VC, Talk, vm

ASSERTION = "b2s:assertion-of-bob"


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.records.clear()
    return talk


def issue(talk: Talk, client: str, user: str = "bob@corp", **more: Any) -> None:
    fields: dict[str, Any] = {
        "api": "sts", "operation": "Issue", "assertion": ASSERTION, "token": "",
        "details": (("assertion_not_after", "2027-01-01T00:00:00Z"),),
    }  # fmt: skip
    talk.login(client, VC, user, **(fields | more))


def show(talk: Talk, client: str, new: str = "cookie", **more: Any) -> str:
    fields: dict[str, Any] = {
        "operation": "LoginByToken", "method": LoginMethod.SAML, "assertion": ASSERTION, "new": new,
    }  # fmt: skip
    return talk.login(client, VC, "bob@corp", **(fields | more))


def test_a_token_that_is_shown_leads_to_the_login_that_got_it(talk: Talk) -> None:
    issue(talk, BOB)
    show(talk, BOB)
    issued, shown = talk.find("Issue"), talk.find("LoginByToken")
    assert (issued.to.service, issued.chain and issued.chain.path) == ("STS", "STS:bob@corp")
    assert issued.extra["assertion_not_after"] == "2027-01-01T00:00:00Z"
    assert shown.chain and shown.hop
    assert (shown.chain.path, shown.hop.cause) == ("VC:bob@corp", "explicit")
    assert shown.hop.parent_id == issued.id
    assert ("assertion", ASSERTION, "proved") in [
        (fact.key, fact.value, fact.grade) for fact in shown.hop.evidence
    ]


def test_a_token_may_be_shown_often(talk: Talk) -> None:
    issue(talk, BOB)
    show(talk, BOB, "one")
    show(talk, BOB, "two")
    kinds = [record.kind for record in talk.records]
    assert kinds == ["login", "login", "login"]
    assert {record.hop.parent_id for record in talk.records[1:] if record.hop} == {
        talk.records[0].id
    }


def test_whose_issue_was_not_seen_has_no_parent(talk: Talk) -> None:
    show(talk, BOB)
    hop = talk.find("LoginByToken").hop
    assert hop
    assert (hop.cause, hop.parent_id) == ("none", "")


def test_a_refused_token_leads_nowhere(talk: Talk) -> None:
    issue(talk, BOB, outcome=Outcome.FAILURE, fault="FailedAuthentication")
    show(talk, BOB)
    hop = talk.find("LoginByToken").hop
    assert hop
    assert hop.parent_id == ""


def test_delegates_are_a_chain_from_the_subject_on(talk: Talk) -> None:
    """The subject stays whom it was; the last delegate is who shows the token."""
    show(talk, ADMIN, delegates=("vsphere-ui", "vpxd-extension"))
    path = "STS:bob@corp:STS:vsphere-ui:STS:vpxd-extension:VC:bob@corp"
    assert talk.path("LoginByToken") == path
    talk.call(ADMIN, VC, "Destroy_Task", vm("vm-1"), operation_id="op1", token="cookie")
    talk.call(VC, ESX1, "Destroy_Task", vm("7"), operation_id="op1-01")
    talk.finish()
    paths = [
        record.chain.path
        for record in talk.records
        if record.op and record.op.name == "Destroy_Task" and record.chain
    ]
    assert paths[:2] == [path, f"{path}:ESX:vpxuser"]
