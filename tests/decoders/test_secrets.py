"""No message shows a secret, in whatever encoding: canaries wherever clients put secrets."""

import base64
from urllib.parse import quote

import pytest

from decoders.message import DecodeError, Message, Transaction, TransactionFlag
from decoders.registry import transaction_decoders
from tests.decoders.crafting import DIALECTS, answer, fault, hasher, rest, transaction

DECODERS = transaction_decoders(hasher)
CANARY = "c4n4ry+s3cr3t/0f=th1s"
_SESSION = f"<returnval><key>{CANARY}</key><userName>bob</userName></returnval>"
_AUTH = (
    f"<auth><interactiveSession>false</interactiveSession>{{}}</auth><password>{CANARY}</password>"
)
_VM = '<vm type="VirtualMachine">vm-1</vm>'
_ASSERTION = (
    f'<Security><Assertion ID="{CANARY}"><SignatureValue>{CANARY}</SignatureValue><Subject>'
    "<NameID>bob</NameID></Subject></Assertion></Security>"
)
# operation, arguments, what the response returns
SOAP = [
    ("Login", f"<userName>bob</userName><password>{CANARY}</password>", _SESSION),
    ("LoginBySSPI", f"<base64Token>{CANARY}</base64Token>", _SESSION),
    ("LoginByToken", "", _SESSION),
    ("LoginExtensionByCertificate", "<extensionKey>x</extensionKey>", _SESSION),
    ("ImpersonateUser", "<userName>bob</userName>", _SESSION),
    ("CloneSession", f"<cloneTicket>{CANARY}</cloneTicket>", _SESSION),
    ("AcquireCloneTicket", "", f"<returnval>{CANARY}</returnval>"),
    (
        "AcquireLocalTicket",
        "<userName>root</userName>",
        f"<returnval><passwordFilePath>{CANARY}</passwordFilePath></returnval>",
    ),
    (
        "AcquireGenericServiceTicket",
        f"<spec><url>https://h/folder/x?token={CANARY}</url></spec>",
        f"<returnval><id>{CANARY}</id></returnval>",
    ),
    ("SessionIsActive", f"<sessionID>{CANARY}</sessionID>", "<returnval>true</returnval>"),
    ("TerminateSession", f"<sessionId>{CANARY}</sessionId>", ""),
    ("Logout", "", ""),
    ("Fetch", "<prop>currentSession</prop>", _SESSION),
    ("CreateContainerView", "", f"<returnval type='ContainerView'>session[{CANARY}]1</returnval>"),
    ("ExportVm", "", f"<returnval type='HttpNfcLease'>session[{CANARY}]1</returnval>"),
    (
        "AcquireTicket",
        "<ticketType>webmks</ticketType>",
        f"<returnval><ticket>{CANARY}</ticket><url>wss://h/ticket/{CANARY}</url></returnval>",
    ),
    ("NfcGetVmFiles", _VM, f"<returnval><sessionId>{CANARY}</sessionId></returnval>"),
    (
        "StartProgramInGuest",
        _VM
        + _AUTH.format(f"<username>u</username><password>{CANARY}</password>")
        + f"<spec><programPath>/bin/sh</programPath><arguments>{CANARY}</arguments>"
        f"<envVariables>A={CANARY}</envVariables></spec>",
        "<returnval>1</returnval>",
    ),
    ("ListFilesInGuest", _VM + _AUTH.format(f"<ticket>{CANARY}</ticket>"), ""),
    ("ListFilesInGuest", _VM + _AUTH.format(f"<sspiToken>{CANARY}</sspiToken>"), ""),
    ("ListFilesInGuest", _VM + _AUTH.format(f"<token>{CANARY}</token>"), ""),
    (
        "AcquireCredentialsInGuest",
        _VM + f"<requestedAuth><password>{CANARY}</password></requestedAuth>",
        f"<returnval><ticket>{CANARY}</ticket></returnval>",
    ),
    (
        "InitiateFileTransferToGuest",
        _VM,
        f"<returnval>https://h/guestFile?id=1&amp;token={quote(CANARY, safe='')}</returnval>",
    ),
    ("CreateUser", f"<user><id>eve</id><password>{CANARY}</password></user>", ""),
    ("ChangePassword", f"<oldPassword>{CANARY}</oldPassword><newPassword>{CANARY}</newPassword>",
        ""),
    ("AddHost_Task", f"<spec><hostName>h</hostName><password>{CANARY}</password></spec>", ""),
    ("JoinDomain_Task", f"<userName>u</userName><password>{CANARY}</password>", ""),
    ("UpdateOptions", f"<changedValue><key>k</key><value>{CANARY}</value></changedValue>", ""),
    ("ReconfigVM_Task", f"<spec><extraConfig><value>{CANARY}</value></extraConfig></spec>", ""),
    ("AddLicense", f"<licenseKey>{CANARY}</licenseKey>", ""),
    (
        "ExecuteSoap",
        f"<method>vim.EsxCLI.system.account.add</method><argument><val>{CANARY}</val></argument>",
        "",
    ),
]  # fmt: skip
_BASIC = "Authorization: Basic " + base64.b64encode(f"bob:{CANARY}".encode()).decode()
_TOKENS = (
    f"vmware-api-session-id: {CANARY}\r\nx-vcloud-authorization: {CANARY}\r\n"
    f"Authorization: Bearer {CANARY}\r\nCookie: vcloud-token={CANARY}; vmware_cgi_ticket={CANARY}"
)
_NEW = (
    f"vmware-api-session-id: {CANARY}\r\nX-VMWARE-VCLOUD-ACCESS-TOKEN: {CANARY}\r\n"
    f"Set-Cookie: vcloud-token={CANARY}; Path=/\r\nContent-Type: application/json"
)
_PATHS = [
    ("POST", "/api/session"),
    ("GET", "/api/session"),
    ("DELETE", "/api/session"),
    ("POST", "/rest/com/vmware/cis/session"),
    ("POST", "/api/sessions"),
    ("POST", "/cloudapi/1.0.0/sessions"),
    ("DELETE", f"/cloudapi/1.0.0/sessions/{quote(CANARY, safe='')}"),
    ("POST", "/oauth/tenant/acme/token"),
    ("POST", "/api/vcenter/vm/vm-1/power?action=stop"),
    ("POST", "/api/vcenter/vm/vm-1/console/tickets"),
    ("POST", "/api/vcenter/vm/vm-1/guest/processes?action=create"),
    ("DELETE", "/api/vApp/vapp-1"),
    ("POST", "/api/vApp/vm-1/screen/action/acquireTicket"),
    ("PUT", f"/folder/x.iso?dsName=d&token={quote(CANARY, safe='')}"),
    ("PUT", f"/guestFile?id=1&token={quote(CANARY, safe='')}"),
    ("GET", f"/ticket/{quote(CANARY, safe='')}"),
    ("GET", f"/nfc/{quote(CANARY, safe='')}/disk-0.vmdk"),
    ("POST", "/sdk/vim25/8.0.3.0/SessionManager/SessionManager/Login"),
]
_BODY = (
    '{"password":"CANARY","credentials":{"password":"CANARY","user_name":"u"},"ticket":'
    '"wss://h/ticket/CANARY","value":"CANARY","access_token":"CANARY","refresh_token":"CANARY"}'
).replace("CANARY", CANARY)


def _forms() -> list[str]:
    raw = CANARY.encode()
    padded = [base64.b64encode(b"x" * shift + raw).decode()[4:20] for shift in range(3)]
    return [CANARY, quote(CANARY, safe=""), quote(CANARY), raw.hex(), CANARY[:12], *padded]


def _decode(done: Transaction) -> list[Message]:
    for decoder in DECODERS:
        if decoder.claims(done):
            try:
                return decoder.transaction(done)
            except DecodeError as error:
                assert not any(form in str(error) for form in _forms())
    return []


def _check(done: Transaction) -> int:
    messages = _decode(done)
    shown = repr(messages)
    for form in _forms():
        assert form not in shown
    return len(messages)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("case", SOAP, ids=lambda case: case[0])
def test_soap(dialect: str, case: tuple[str, str, str]) -> None:
    operation, arguments, returned = case
    this = ("HttpNfcLease", f"session[{CANARY}]52")
    header = f"<vcSessionCookie>{CANARY}</vcSessionCookie>{_ASSERTION}"
    request = DIALECTS[dialect](operation, this, arguments, header=header, cookie=CANARY)
    head = f'Content-Type: text/xml\r\nSet-Cookie: vmware_soap_session="{CANARY}"; Path=/'
    done = transaction(request, answer(operation, returned), response_head=head)
    assert _check(done) > 0
    _check(done._replace(response_body=fault("NoPermission"), status=500))
    _check(done._replace(request_body=b"", operation=operation, this_id=f"session[{CANARY}]52"))
    for cut in range(0, len(request[1]), 41):
        _check(done._replace(request_body=request[1][:cut], flags=TransactionFlag.REQUEST_CUT))


@pytest.mark.parametrize(("method", "target"), _PATHS)
@pytest.mark.parametrize("head", [_BASIC, _TOKENS])
@pytest.mark.parametrize("status", [200, 401])
def test_rest(method: str, target: str, head: str, status: int) -> None:
    done = rest(
        method,
        target,
        head=head,
        body=_BODY.encode(),
        status=status,
        response_head=_NEW,
        response_body=_BODY.encode(),
    )
    _check(done)
    _check(done._replace(response_body=f'"{CANARY}"'.encode()))
    _check(done._replace(request_body=f"refresh_token={CANARY}".encode()))


def test_the_canary_would_be_found() -> None:
    login = "<userName>" + CANARY + "</userName>"
    request = DIALECTS["pyvmomi"]("Login", ("SessionManager", "SessionManager"), login)
    with pytest.raises(AssertionError):
        _check(transaction(request, answer("Login")))
