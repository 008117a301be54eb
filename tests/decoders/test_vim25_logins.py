"""Every way a vim25 session gets an identity, in every client's dialect."""

import base64
import struct

import pytest

from decoders.message import (
    Call,
    Login,
    LoginMethod,
    OperationClass,
    Outcome,
    Target,
    TicketIssued,
    TransactionFlag,
)
from decoders.vim25 import Vim25
from tests.decoders.crafting import (
    COOKIE,
    DIALECTS,
    Dialect,
    answer,
    fault,
    hasher,
    only,
    pyvmomi,
    transaction,
)

MANAGER = ("SessionManager", "SessionManager")
KEY = "52d0e1f2-1111-2222-3333-444455556666"
SESSION = (
    f"<returnval><key>{KEY}</key><userName>VSPHERE.LOCAL\\bob</userName><fullName>Bob B</fullName>"
    "<extensionSession>false</extensionSession><ipAddress>10.1.1.11</ipAddress></returnval>"
)
SET_COOKIE = 'Content-Type: text/xml\r\nSet-Cookie: vmware_soap_session="fresh"; Path=/; HttpOnly'
PASSWORD = "<userName>bob@vsphere.local</userName><password>p&amp;ss</password>"
vim25 = Vim25(hasher)


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


def test_login(dialect: Dialect) -> None:
    request = dialect("Login", MANAGER, PASSWORD, operation_id="op-1", cookie="")
    done = transaction(request, answer("Login", SESSION), response_head=SET_COOKIE)
    assert vim25.claims(done)
    login = only(vim25.transaction(done))
    assert isinstance(login, Login)
    assert (login.operation, login.method, login.outcome) == (
        "Login",
        LoginMethod.PASSWORD,
        Outcome.SUCCESS,
    )
    assert (login.user, login.claimed, login.full_name) == (
        "VSPHERE.LOCAL\\bob",
        "bob@vsphere.local",
        "Bob B",
    )
    assert login.new_tokens == (hasher("fresh"),)
    assert (login.session, login.token) == (hasher(KEY), "")
    assert (login.client_address, login.operation_id) == ("10.1.1.11", "op-1")
    assert (login.time_ns, login.end_ns) == (1_000, 3_000)
    assert not login.extension


def test_login_that_keeps_the_cookie_of_before(dialect: Dialect) -> None:
    login = only(
        vim25.transaction(
            transaction(dialect("Login", MANAGER, PASSWORD), answer("Login", SESSION))
        )
    )
    assert (login.token, login.new_tokens) == (hasher(COOKIE), ())


@pytest.mark.parametrize("stated", [True, False])
def test_login_refused(dialect: Dialect, stated: bool) -> None:
    refused = transaction(
        dialect("Login", MANAGER, PASSWORD, cookie=""),
        fault("InvalidLogin", stated=stated),
        status=500,
        response_head=SET_COOKIE,
    )
    login = only(vim25.transaction(refused))
    assert (login.outcome, login.fault) == (Outcome.FAILURE, "InvalidLogin")
    assert (login.user, login.claimed) == ("bob@vsphere.local", "bob@vsphere.local")
    assert (login.new_tokens, login.session) == ((), "")


def test_login_without_response() -> None:
    silent = transaction(
        pyvmomi("Login", MANAGER, PASSWORD), status=0, flags=TransactionFlag.NO_RESPONSE
    )
    login = only(vim25.transaction(silent))
    assert (login.outcome, login.fault, login.user) == (Outcome.UNKNOWN, "", "bob@vsphere.local")


def test_login_answered_by_a_proxy_in_html() -> None:
    page = b"<!DOCTYPE html>\n<html><body>bad gateway</body></html>"
    login = only(
        vim25.transaction(transaction(pyvmomi("Login", MANAGER, PASSWORD), page, status=502))
    )
    assert (login.outcome, login.fault) == (Outcome.FAILURE, "HTTP 502")


def test_fault_with_status_200_is_a_failure() -> None:
    login = only(
        vim25.transaction(transaction(pyvmomi("Login", MANAGER, PASSWORD), fault("InvalidLogin")))
    )
    assert (login.outcome, login.fault) == (Outcome.FAILURE, "InvalidLogin")


def test_soap_1_2_fault() -> None:
    body = (
        b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><e:Fault><e:Code>'
        b"<e:Value>e:Receiver</e:Value></e:Code><e:Detail><InvalidLocaleFault/></e:Detail>"
        b"</e:Fault></e:Body></e:Envelope>"
    )
    login = only(
        vim25.transaction(transaction(pyvmomi("Login", MANAGER, PASSWORD), body, status=500))
    )
    assert login.fault == "InvalidLocale"


def _ntlm(domain: str, user: str) -> str:
    texts = domain.encode("utf-16-le"), user.encode("utf-16-le")
    fields = b"".join(
        struct.pack("<HHI", len(text), len(text), at)
        for text, at in zip(texts, (64, 64 + len(texts[0])), strict=True)
    )
    message = b"NTLMSSP\0" + struct.pack("<I", 3) + bytes(16) + fields + bytes(16)
    message += struct.pack("<I", 1) + texts[0] + texts[1]
    return base64.b64encode(b"\x60\x28spnego" + message).decode()


def test_sspi_rounds() -> None:
    first = pyvmomi("LoginBySSPI", MANAGER, "<base64Token>TlRMTVNTUAABAAAA</base64Token>")
    challenge = fault("SSPIChallenge", "<base64Token>TlRMTVNTUAAC</base64Token>")
    assert vim25.transaction(transaction(first, challenge, status=500)) == []
    second = pyvmomi("LoginBySSPI", MANAGER, f"<base64Token>{_ntlm('CORP', 'bob')}</base64Token>")
    login = only(vim25.transaction(transaction(second, fault("InvalidLogin"), status=500)))
    assert (login.method, login.claimed, login.user) == (LoginMethod.SSPI, "CORP\\bob", "CORP\\bob")
    login = only(vim25.transaction(transaction(second, answer("LoginBySSPI", SESSION))))
    assert (login.outcome, login.user) == (Outcome.SUCCESS, "VSPHERE.LOCAL\\bob")


ASSERTION = (
    '<wsse:Security xmlns:wsse="urn:wsse"><saml2:Assertion xmlns:saml2="urn:saml2" ID="_id">'
    "<saml2:Issuer>https://sts</saml2:Issuer><ds:Signature><ds:SignatureValue>c2lnbmF0dXJl"
    "</ds:SignatureValue></ds:Signature><saml2:Subject><saml2:NameID>bob@vsphere.local"
    "</saml2:NameID><saml2:SubjectConfirmation><saml2:NameID>vsphere-ui</saml2:NameID>"
    "</saml2:SubjectConfirmation></saml2:Subject><saml2:Conditions><saml2:Condition>"
    '<del:Delegate DelegationInstant="2026-01-02T00:00:00Z"><saml2:NameID>vsphere-ui'
    '</saml2:NameID></del:Delegate><del:Delegate DelegationInstant="2026-01-01T00:00:00Z">'
    "<saml2:NameID>vpxd-extension</saml2:NameID></del:Delegate></saml2:Condition>"
    "</saml2:Conditions></saml2:Assertion></wsse:Security>"
)


def test_login_by_token(dialect: Dialect) -> None:
    request = dialect("LoginByToken", MANAGER, header=ASSERTION, cookie="")
    silent = "<returnval><key>k</key></returnval>"
    login = only(vim25.transaction(transaction(request, answer("LoginByToken", silent))))
    assert (login.method, login.user) == (LoginMethod.SAML, "bob@vsphere.local")
    assert login.delegates == ("vpxd-extension", "vsphere-ui")
    login = only(vim25.transaction(transaction(request, answer("LoginByToken", SESSION))))
    assert (login.user, login.claimed) == ("VSPHERE.LOCAL\\bob", "bob@vsphere.local")


@pytest.mark.parametrize(
    "operation", ["LoginExtensionByCertificate", "LoginExtensionBySubjectName"]
)
def test_extension_logins(dialect: Dialect, operation: str) -> None:
    request = dialect(operation, MANAGER, "<extensionKey>com.vmware.vim.eam</extensionKey>")
    login = only(vim25.transaction(transaction(request, fault("NoClientCertificate"), status=500)))
    assert (login.method, login.user, login.extension) == (
        LoginMethod.CERTIFICATE,
        "com.vmware.vim.eam",
        True,
    )
    assert login.fault == "NoClientCertificate"


def test_extension_session_said_by_the_server() -> None:
    session = SESSION.replace("false", "true")
    login = only(
        vim25.transaction(transaction(pyvmomi("Login", MANAGER), answer("Login", session)))
    )
    assert login.extension


def test_impersonation(dialect: Dialect) -> None:
    request = dialect("ImpersonateUser", MANAGER, "<userName>alice</userName>")
    done = transaction(request, answer("ImpersonateUser", SESSION), response_head=SET_COOKIE)
    login = only(vim25.transaction(done))
    assert (login.method, login.claimed) == (LoginMethod.IMPERSONATION, "alice")
    assert (login.token, login.new_tokens) == (hasher(COOKIE), (hasher("fresh"),))


def test_clone_ticket_joins_its_redemption(dialect: Dialect) -> None:
    returned = "<returnval>cst-VCT-52aa--tp-01</returnval>"
    acquired = transaction(
        dialect("AcquireCloneTicket", MANAGER), answer("AcquireCloneTicket", returned)
    )
    call, issued = vim25.transaction(acquired)
    assert isinstance(call, Call)
    assert isinstance(issued, TicketIssued)
    assert (call.operation_class, call.outcome) == (OperationClass.LOGIN, Outcome.SUCCESS)
    request = dialect(
        "CloneSession", MANAGER, "<cloneTicket>cst-VCT-52aa--tp-01</cloneTicket>", cookie=""
    )
    done = transaction(request, answer("CloneSession", SESSION), response_head=SET_COOKIE)
    login = only(vim25.transaction(done))
    assert (issued.kind, issued.token) == ("clone", hasher(COOKIE))
    assert login.ticket == issued.ticket == hasher("cst-VCT-52aa--tp-01")
    assert login.method is LoginMethod.CLONE


def test_refused_ticket_issues_nothing() -> None:
    refused = transaction(pyvmomi("AcquireCloneTicket", MANAGER), fault("NoPermission"), status=500)
    call = only(vim25.transaction(refused))
    assert (call.outcome, call.fault) == (Outcome.FAILURE, "NoPermission")


def test_local_ticket() -> None:
    returned = (
        "<returnval><userName>root</userName><passwordFilePath>/var/run/vmware/52f"
        "</passwordFilePath></returnval>"
    )
    request = pyvmomi("AcquireLocalTicket", MANAGER, "<userName>root</userName>")
    call, issued = vim25.transaction(transaction(request, answer("AcquireLocalTicket", returned)))
    assert isinstance(call, Call)
    assert isinstance(issued, TicketIssued)
    assert call.related == (Target("User", name="root"),)
    assert (issued.kind, issued.ticket) == ("local", hasher("/var/run/vmware/52f"))


def test_generic_service_ticket() -> None:
    request = pyvmomi(
        "AcquireGenericServiceTicket",
        MANAGER,
        '<spec xsi:type="SessionManagerHttpServiceRequestSpec"><method>httpPut</method>'
        "<url>https://esx/folder/x.iso?dsName=ds&amp;token=t0k</url></spec>",
    )
    returned = "<returnval><id>52-generic</id><hostName>esx</hostName></returnval>"
    done = transaction(request, answer("AcquireGenericServiceTicket", returned))
    call, issued = vim25.transaction(done)
    assert isinstance(call, Call)
    assert isinstance(issued, TicketIssued)
    assert call.related == (Target("File", name="/folder/x.iso"),)
    assert (issued.kind, issued.ticket) == ("generic", hasher("52-generic"))
