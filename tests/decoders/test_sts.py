"""The token service: who asked for a SAML token, by what, in whose name."""

import base64
import struct

import pytest

from decoders.message import Login, LoginMethod, Message, Outcome, Transaction
from decoders.sts import Sts
from tests.decoders.crafting import SOAP, hasher, only, transaction

sts = Sts(hasher)
PASSWORD = "s3cr3t-of-bob"
SIGNATURE = "EKHf14V0CHctwqXRlhYSYNyID5lNJLimbw57eUBm"
TRUST = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"
IS_SOLUTION = (
    '<saml2:AttributeStatement><saml2:Attribute Name="http://vmware.com/schemas/attr-names/2011/07/'
    'isSolution"><saml2:AttributeValue>true</saml2:AttributeValue></saml2:Attribute>'
    "</saml2:AttributeStatement>"
)


def assertion(
    subject: str, *delegates: tuple[str, str], identity: str = "_1", more: str = ""
) -> str:
    named = "".join(
        f'<del:Delegate DelegationInstant="{instant}"><saml2:NameID>{name}</saml2:NameID>'
        "</del:Delegate>"
        for name, instant in delegates
    )
    return (
        f'<saml2:Assertion ID="{identity}"><ds:Signature><ds:SignatureValue>{SIGNATURE[:20]}\n'
        f"{SIGNATURE[20:]}</ds:SignatureValue></ds:Signature><saml2:Subject><saml2:NameID>{subject}"
        '</saml2:NameID></saml2:Subject><saml2:Conditions NotOnOrAfter="2026-01-01T00:10:00Z">'
        f'<saml2:ProxyRestriction Count="9"/><saml2:Condition>{named}</saml2:Condition>'
        f"</saml2:Conditions>{more}</saml2:Assertion>"
    )


def request(security: str, *, kind: str = "Issue", more: str = "") -> tuple[bytes, bytes]:
    body = (
        f'<S:Envelope xmlns:S="{SOAP}"><S:Header><wsse:Security>{security}</wsse:Security>'
        f'</S:Header><S:Body><RequestSecurityToken xmlns="{TRUST}"><RequestType>{TRUST}/{kind}'
        f"</RequestType>{more}</RequestSecurityToken></S:Body></S:Envelope>"
    )
    return b"Host: vc.lab\r\nUser-Agent: govc/0.37.1", body.encode()


def response(inner: str) -> bytes:
    return (
        f'<S:Envelope xmlns:S="{SOAP}"><S:Body><RequestSecurityTokenResponseCollection><Request'
        f"SecurityTokenResponse>{inner}</RequestSecurityTokenResponse>"
        "</RequestSecurityTokenResponseCollection></S:Body></S:Envelope>"
    ).encode()


def issued(
    subject: str, *delegates: tuple[str, str], identity: str = "_1", more: str = ""
) -> bytes:
    token = assertion(subject, *delegates, identity=identity, more=more)
    return response(f"<RequestedSecurityToken>{token}</RequestedSecurityToken>")


REFUSED = (
    f'<S:Envelope xmlns:S="{SOAP}"><S:Body><S:Fault><faultcode>ns0:FailedAuthentication</faultcode>'
    "<faultstring>Invalid credentials</faultstring></S:Fault></S:Body></S:Envelope>"
).encode()


def by_password(user: str) -> str:
    return (
        f"<wsse:UsernameToken><wsse:Username>{user}</wsse:Username><wsse:Password>{PASSWORD}"
        "</wsse:Password></wsse:UsernameToken>"
    )


def made(asked: tuple[bytes, bytes], answered: bytes, status: int = 200) -> Transaction:
    return transaction(asked, answered, status=status, target="/sts/STSService/vsphere.local")


def login_of(asked: tuple[bytes, bytes], answered: bytes, status: int = 200) -> Login:
    found: Message = only(sts.transaction(made(asked, answered, status)))
    assert isinstance(found, Login)
    assert PASSWORD not in repr(found)
    assert SIGNATURE[:20] not in repr(found)
    return found


def test_a_token_by_password() -> None:
    login = login_of(request(by_password("bob@corp")), issued("bob@CORP"))
    assert (login.api, login.operation, login.method) == ("sts", "Issue", LoginMethod.PASSWORD)
    assert (login.user, login.claimed, login.outcome) == ("bob@CORP", "bob@corp", Outcome.SUCCESS)
    assert login.user_agent == "govc/0.37.1"
    assert login.details == (
        ("assertion_not_after", "2026-01-01T00:10:00Z"),
        ("is_delegable", "true"),
    )


def test_a_refusal_names_who_was_claimed() -> None:
    login = login_of(request(by_password("eve@corp")), REFUSED, 500)
    assert (login.user, login.outcome, login.fault) == (
        "eve@corp",
        Outcome.FAILURE,
        "FailedAuthentication",
    )


def test_a_solution_user_by_certificate() -> None:
    security = "<wsse:BinarySecurityToken>TUlJ</wsse:BinarySecurityToken>"
    login = login_of(request(security), issued("vpxd-9f@vsphere.local", more=IS_SOLUTION))
    assert (login.method, login.user) == (LoginMethod.CERTIFICATE, "vpxd-9f@vsphere.local")
    assert ("is_solution", "true") in login.details


def test_act_as_keeps_the_subject_and_lists_delegates_by_time() -> None:
    """The order is that of DelegationInstant, not of the document."""
    act_as = f"<wst:ActAs>{assertion('bob@corp')}</wst:ActAs>"
    token = issued(
        "bob@corp",
        ("vsphere-ui", "2026-01-01T00:00:02Z"),
        ("vpxd-extension", "2026-01-01T00:00:01Z"),
    )
    login = login_of(request(assertion("vsphere-ui", identity="_own"), more=act_as), token)
    assert (login.user, login.claimed) == ("bob@corp", "vsphere-ui")
    assert login.method is LoginMethod.SAML
    assert login.delegates == ("vpxd-extension", "vsphere-ui")
    assert ("act_as", "bob@corp") in login.details


def test_delegation_to_a_named_solution() -> None:
    to = f"<DelegateTo>{by_password('vpxd-extension')}</DelegateTo>"
    login = login_of(request(by_password("bob@corp"), more=to), issued("bob@corp"))
    assert ("delegate_to", "vpxd-extension") in login.details


def test_a_renewal_is_a_login_and_a_validation_none() -> None:
    target = f"<RenewTarget>{assertion('bob@corp')}</RenewTarget>"
    asked = request("", kind="Renew", more=target)
    login = login_of(asked, issued("bob@corp", identity="_2"))
    assert (login.operation, login.user) == ("Renew", "bob@corp")
    assert login_of(asked, REFUSED, 500).user == "bob@corp"
    assert sts.transaction(made(request("", kind="Validate"), response("<Status/>"))) == []


def test_the_rounds_of_a_negotiation_are_one_login() -> None:
    challenge = response("<BinaryExchange>TlRMTVNTUAAC</BinaryExchange>")
    asked = request("", more="<BinaryExchange>TlRMTVNTUAAB</BinaryExchange>")
    assert sts.transaction(made(asked, challenge)) == []
    user, domain = "alice".encode("utf-16-le"), "CORP".encode("utf-16-le")
    fields = [(0, 88), (0, 88), (len(domain), 88), (len(user), 88 + len(domain)), (0, 88), (0, 88)]
    blob = b"NTLMSSP\0\x03\0\0\0" + b"".join(
        struct.pack("<HHI", size, size, at) for size, at in fields
    )
    blob = blob + struct.pack("<I", 1) + bytes(88 - len(blob) - 4) + domain + user
    named = f"<BinaryExchange>{base64.b64encode(blob).decode()}</BinaryExchange>"
    login = login_of(request("", more=named), issued("alice@CORP"))
    assert (login.method, login.user, login.claimed) == (
        LoginMethod.SSPI,
        "alice@CORP",
        "CORP\\alice",
    )


def test_one_assertion_has_one_name_wherever_it_is_seen() -> None:
    first = login_of(request(by_password("bob")), issued("bob"))
    wrapped = issued("bob").replace(b"\n", b"&#13;\n")
    assert first.assertion
    assert login_of(request(by_password("bob")), wrapped).assertion == first.assertion
    forged = issued("bob").replace(SIGNATURE[:20].encode(), b"AAAA")
    assert login_of(request(by_password("bob")), forged).assertion != first.assertion


@pytest.mark.parametrize("body", [b"", b"<html>", b"<S:Envelope/>", b"<a"])
def test_what_is_no_request_says_nothing(body: bytes) -> None:
    assert sts.transaction(made((b"Host: vc", body), issued("bob"))) == []


def test_it_claims_by_path_or_by_operation() -> None:
    asked = request(by_password("bob"))
    assert sts.claims(made(asked, b""))
    assert sts.claims(transaction(asked, b"", operation="RequestSecurityToken", target="/trust"))
    assert not sts.claims(transaction(asked, b"", target="/sdk"))
