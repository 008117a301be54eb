"""What proxies say of their clients: who is believed, how far, and what becomes of it."""

from dataclasses import replace

import pytest

from decoders.message import Login, LoginMethod, Message, Outcome
from sensor.records import Record
from tests.sensor.talk import BOB, MS, PROXY, VC, Talk, flow_of, vm


def proxied(talk: Talk, client: str) -> Record:
    """A call through a proxy that names the client and his certificate."""
    flow = flow_of(client, VC, 777)
    talk.analysis.proxy_header(flow, BOB, 4711, talk.now_ns, "CN=bob")
    talk.call(client, VC, "Destroy_Task", vm("vm-1"), user="bob", port=777, via="1.1 edge")
    talk.finish()
    return talk.find("Destroy_Task")


@pytest.mark.parametrize(("trusted", "grade"), [([], "claimed"), ([PROXY], "asserted")])
def test_what_a_proxy_says_of_its_client_is_graded(trusted: list[str], grade: str) -> None:
    record = proxied(Talk(trusted_proxies=trusted), PROXY)
    assert record.source.ip == BOB and record.hop is not None
    assert [(each.key, each.value, each.grade) for each in record.hop.evidence] == [
        ("proxy_header", PROXY, grade),
        ("client_certificate", "CN=bob", grade),
        ("via", "1.1 edge", "claimed"),
    ]


@pytest.mark.parametrize(("trusted", "client"), [([], "192.0.2.9"), (["10.9.0.0/16"], PROXY)])
def test_who_is_no_proxy_of_the_site_names_nobody(trusted: list[str], client: str) -> None:
    record = proxied(Talk(trusted_proxies=trusted), client)
    assert record.source.ip == client and record.hop is not None
    assert [each.key for each in record.hop.evidence] == ["via"]


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


def test_a_proxy_that_names_only_itself_does_not_stand_for_its_client() -> None:
    """Via says that there is a proxy: who asked is seen on the leg before it."""
    talk = Talk()
    for _ in range(2):  # the second time its other leg is waited for
        message = replace(_login_of(talk, "bob"), via="1.1 edge")
        talk.say(PROXY, VC, _within(message), 1)
        talk.say(BOB, PROXY, replace(message, via=""), 2)
    assert [each.source.ip for each in talk.records if each.kind == "login"][-1] == BOB
    assert len(talk.amendments()) == 1
