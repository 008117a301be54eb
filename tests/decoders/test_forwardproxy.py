"""Accounts that clients have at a forward proxy."""

import base64

import pytest

from decoders.forwardproxy import ForwardProxy
from decoders.message import LoginMethod, Outcome, ProxyLogin, Transaction, TransactionFlag
from tests.decoders.crafting import hasher, only, transaction

PASSWORD = "s3cr3t of alice"
BASIC = "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
proxy = ForwardProxy(hasher)


def asked(credentials: str, **others: object) -> Transaction:
    head = f"Host: vc:443\r\nProxy-Authorization: {credentials}".encode()
    values = {"method": "CONNECT", "target": "vc.lab:443", "response_head": ""} | others
    return transaction((head, b""), **values)  # type: ignore[arg-type]


def login_of(made: Transaction) -> ProxyLogin:
    found = only(proxy.transaction(made))
    assert isinstance(found, ProxyLogin)
    assert PASSWORD not in repr(found)
    assert BASIC not in repr(found)
    return found


def test_basic_credentials_of_a_tunnel() -> None:
    login = login_of(asked(BASIC))
    assert (login.user, login.method, login.outcome) == (
        "alice",
        LoginMethod.BASIC,
        Outcome.SUCCESS,
    )
    assert (login.token, login.destination) == (hasher(BASIC), "vc.lab:443")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(407, Outcome.FAILURE), (200, Outcome.SUCCESS), (503, Outcome.SUCCESS), (0, Outcome.UNKNOWN)],
)
def test_only_407_refuses_the_credentials(status: int, outcome: Outcome) -> None:
    assert login_of(asked(BASIC, status=status)).outcome is outcome


def test_a_challenge_is_no_refusal() -> None:
    """[MS-NTHT]: the answer to NEGOTIATE is a 407 with the CHALLENGE."""
    opening = asked(
        "NTLM TlRMTVNTUAABAAAA", status=407, response_head="Proxy-Authenticate: NTLM TlRM"
    )
    assert proxy.transaction(opening) == []


def test_absolute_form_is_read_beside_its_decoder() -> None:
    request = asked(BASIC, method="POST", target="http://vc.lab/sdk")
    assert proxy.concerns(request)
    assert only(proxy.transaction(request)).user == "alice"
    assert not proxy.concerns(transaction((b"Host: vc", b"")))


def test_past_the_proxy_the_header_means_nothing() -> None:
    assert proxy.transaction(asked(BASIC, flags=TransactionFlag.TUNNELLED)) == []
    assert proxy.transaction(asked(BASIC, method="POST", target="/sdk")) == []


@pytest.mark.parametrize("credentials", ["", "Basic", "Basic ====", "Bearer abc", "Negotiate YII="])
def test_what_names_nobody_says_nothing(credentials: str) -> None:
    assert proxy.transaction(asked(credentials)) == []
