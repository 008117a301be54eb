"""No message shows a secret, in whatever encoding: canaries wherever clients put secrets."""

import base64
import json
from urllib.parse import quote
from xmlrpc.client import dumps

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
_OTHER_TOKENS = (
    f"X-Auth-Token: {CANARY}\r\nX-Subject-Token: {CANARY}\r\nX-ntnx-api-key: {CANARY}\r\n"
    f"Authorization: PVEAPIToken=bob@pve!ci={CANARY}\r\nCookie: PVEAuthCookie=PVE:bob@pve:1::"
    f"{quote(CANARY, safe='')}; JSESSIONID={CANARY}\r\nCSRFPreventionToken: {CANARY}"
)
_BROKEN_TOKENS = f"X-Auth-Token: {CANARY}\r\nAuthorization: PVEAPIToken={CANARY}"
_FORM = (
    "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Negotiate "
    + base64.b64encode(f"NTLMSSP\0\3\0\0\0{CANARY * 9}".encode()).decode()
)
_NEW = (
    f"vmware-api-session-id: {CANARY}\r\nX-VMWARE-VCLOUD-ACCESS-TOKEN: {CANARY}\r\n"
    f"Set-Cookie: vcloud-token={CANARY}; Path=/\r\nContent-Type: application/json\r\n"
    f"X-Subject-Token: {CANARY}\r\nSet-Cookie: JSESSIONID={CANARY}; Path=/"
)
_VM_ID = "0b1f2c3d-1111-4222-8333-444455556666"
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
    ("POST", "/v3/auth/tokens"),
    ("GET", "/v3/auth/tokens"),
    ("DELETE", "/v3/auth/tokens"),
    ("POST", "/v2.1/servers"),
    ("POST", f"/v2.1/servers/{_VM_ID}/action"),
    ("POST", f"/v2.1/servers/{_VM_ID}/remote-consoles"),
    ("POST", "/v3/users"),
    ("POST", "/csp/gateway/am/api/login?access_token"),
    ("POST", "/csp/gateway/am/api/auth/logout"),
    ("POST", "/iaas/api/login"),
    ("POST", "/tm/oauth/tenant/acme/token"),
    ("POST", "/identity/api/tokens"),
    ("DELETE", f"/identity/api/tokens/{quote(CANARY, safe='')}"),
    ("POST", f"/deployment/api/deployments/{_VM_ID}/requests"),
    ("POST", "/api2/json/access/ticket"),
    ("PUT", "/api2/json/access/password"),
    ("POST", "/api2/json/nodes/pve/qemu/100/vncproxy"),
    ("POST", "/api2/json/nodes/pve/qemu/100/agent/exec"),
    ("GET", f"/api2/json/nodes/pve/qemu/100/vncwebsocket?vncticket={quote(CANARY, safe='')}"),
    ("POST", "/ovirt-engine/sso/oauth/token"),
    ("GET", f"/ovirt-engine/sso/oauth/token?password={quote(CANARY, safe='')}"),
    ("POST", "/ovirt-engine/sso/oauth/token-http-auth"),
    ("POST", "/ovirt-engine/services/sso-logout"),
    ("POST", f"/ovirt-engine/api/vms/{_VM_ID}/ticket"),
    ("POST", "/PrismGateway/j_spring_security_check"),
    ("GET", "/api/nutanix/v3/users/me"),
    ("POST", "/api/nutanix/v3/vms"),
    ("POST", "/wsman"),
]
_BODY = (
    '{"auth":{"identity":{"methods":["token"],"token":{"id":"CANARY"},"password":{"user":'
    '{"name":"bob","password":"CANARY"}}}},"remote_console":{"url":"http://n/?token=CANARY"},'
    '"data":{"ticket":"CANARY","CSRFPreventionToken":"CANARY"},"refreshToken":"CANARY",'
    '"token":"CANARY","id_token":"CANARY","cspAuthToken":"CANARY","adminPass":"CANARY",'
    '"inputs":{"pw":"CANARY"},"password":"CANARY","credentials":{"password":"CANARY","user_name":"u"},"ticket":'
    '"wss://h/ticket/CANARY","value":"CANARY","access_token":"CANARY","refresh_token":"CANARY"}'
).replace("CANARY", CANARY)

_FIELDS = ("password", "refresh_token", "refreshToken", "token", "j_password", "otp")
_XML = (
    f"<action><ticket><value>{CANARY}</value></ticket><proxy_ticket><value>{CANARY}</value>"
    f"</proxy_ticket><vm><initialization><root_password>{CANARY}</root_password></initialization>"
    "</vm></action>"
).encode()
_CALLS: list[tuple[str, tuple[str, ...]]] = [
    ("session.login_with_password", ("root", CANARY, "1.0", "client")),
    ("session.logout", (f"OpaqueRef:{CANARY}",)),
    ("session.change_password", (f"OpaqueRef:{CANARY}", CANARY, CANARY)),
    ("pool.join", (f"OpaqueRef:{CANARY}", "10.0.0.1", "root", CANARY)),
    ("host.call_plugin", (f"OpaqueRef:{CANARY}", "OpaqueRef:h", "p", "f", CANARY)),
]


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
@pytest.mark.parametrize("head", [_BASIC, _TOKENS, _OTHER_TOKENS, _BROKEN_TOKENS, _FORM])
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
    form = "&".join(f"{name}={quote(CANARY, safe='')}" for name in _FIELDS)
    _check(done._replace(request_body=form.encode()))
    _check(done._replace(request_body=_XML, response_body=_XML))


@pytest.mark.parametrize("target", ["/", "/RPC2", "/jsonrpc"])
@pytest.mark.parametrize("call", _CALLS, ids=lambda call: call[0])
def test_xapi(call: tuple[str, tuple[str, ...]], target: str) -> None:
    method, parameters = call
    body = dumps(parameters, method).encode()
    is_login = "login" in method  # any other reference in a result names an object
    for value in (CANARY, f"OpaqueRef:{CANARY}" if is_login else ""):
        answered = dumps(({"Status": "Success", "Value": value},), methodresponse=True).encode()
        if target == "/jsonrpc":
            body = json.dumps({"method": method, "params": parameters}).encode()
            answered = json.dumps({"result": value}).encode()
        done = rest("POST", target, body=body, response_body=answered)
        assert _check(done) > 0
        error = json.dumps({"error": {"message": "NO", "data": [CANARY]}}).encode()
        _check(done._replace(response_body=error))


def test_winrm() -> None:
    body = (
        "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'><s:Header><Action>x/Command"
        f"</Action><ResourceURI>windows/shell/cmd</ResourceURI></s:Header><s:Body><CommandLine>"
        f"<Command>{CANARY}</Command><Arguments>{CANARY}</Arguments></CommandLine></s:Body>"
        "</s:Envelope>"
    )
    for head in (_BASIC, _FORM):
        assert _check(rest("POST", "/wsman", head=head, body=body.encode())) > 0
        _check(rest("POST", "/wsman", head=head, body=body.encode(), status=401))


def test_the_canary_would_be_found() -> None:
    login = "<userName>" + CANARY + "</userName>"
    request = DIALECTS["pyvmomi"]("Login", ("SessionManager", "SessionManager"), login)
    with pytest.raises(AssertionError):
        _check(transaction(request, answer("Login")))
