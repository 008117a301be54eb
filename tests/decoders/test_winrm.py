"""WinRM: who logs in on a connection, what the readable bodies do, sealed ones."""

import base64
import struct
from typing import Any

import pytest

from decoders.message import (
    CONNECTION,
    Call,
    Login,
    LoginMethod,
    OperationClass,
    Outcome,
    Target,
    Transaction,
    TransactionFlag,
)
from decoders.winrm import WinRm
from tests.decoders.crafting import hasher, only, rest

winrm = WinRm(hasher)
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
VIRTUAL = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
VM = "9A0B1C2D-1111-4222-8333-444455556666"
SEALED = 'Content-Type: multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted"'


def ntlm(user: str, domain: str = "LAB") -> str:
    names = [domain.encode("utf-16-le"), user.encode("utf-16-le")]
    at, spans, payload = 88, [(24, 200), (24, 224)], b""
    for name in names:
        spans.append((len(name), at + len(payload)))
        payload += name
    head = b"".join(struct.pack("<HHI", size, size, where) for size, where in spans)
    message = b"NTLMSSP\0\x03\0\0\0" + head + bytes(16) + struct.pack("<I", 1) + bytes(24)
    message = (message + payload).ljust(200, b"\0") + b"\x99" * 48
    return base64.b64encode(message).decode()


def kerberos(realm: str) -> str:
    name = b"\x1b" + bytes([len(realm)]) + realm.encode()
    ticket = b"\xa0\x03\x02\x01\x05\xa1" + bytes([len(name)]) + name + b"\xa2\x10"
    return base64.b64encode(b"\x60\x80\x06\x06+\x06\x01\x05\x05\x02" + ticket + bytes(90)).decode()


def envelope(action: str, resource: str, selector: str = "", body: str = "") -> bytes:
    return (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        f'xmlns:w="{WSMAN}"><s:Header><a:Action s:mustUnderstand="true">{action}</a:Action>'
        f'<w:ResourceURI s:mustUnderstand="true">{resource}</w:ResourceURI>'
        f"<a:MessageID>uuid:77</a:MessageID>{selector}</s:Header><s:Body>{body}</s:Body>"
        "</s:Envelope>"
    ).encode()


def selected(name: str, value: str) -> str:
    return f'<w:SelectorSet><w:Selector Name="{name}">{value}</w:Selector></w:SelectorSet>'


def post(head: str = "", body: bytes = b"", status: int = 200, **others: Any) -> Transaction:
    return rest("POST", "/wsman", head=head, body=body, status=status, **others)


def decode(done: Transaction) -> list[Any]:
    assert winrm.claims(done)
    return list(winrm.transaction(done))


@pytest.mark.parametrize("scheme", ["Negotiate", "NTLM", "CredSSP"])
def test_login(scheme: str) -> None:
    done = post(f"Authorization: {scheme} {ntlm('bob')}\r\n{SEALED}", b"--Encrypted Boundary")
    login = only(decode(done))
    assert isinstance(login, Login)
    assert (login.user, login.method, login.outcome) == (
        "LAB\\bob",
        LoginMethod.SSPI,
        Outcome.SUCCESS,
    )
    assert (login.token, login.new_tokens) == (CONNECTION, ())


def test_rounds_of_a_login_are_none() -> None:
    challenge = "WWW-Authenticate: Negotiate TlRMTVNTUAACAAAA"
    first = base64.b64encode(b"NTLMSSP\0\x01\0\0\0").decode()
    done = post(f"Authorization: Negotiate {first}", status=401, response_head=challenge)
    assert decode(done) == []
    asked = envelope(f"{TRANSFER}/Create", SHELL)
    assert decode(post("", asked, status=401, response_head="WWW-Authenticate: Negotiate")) == []


@pytest.mark.parametrize("offered", ["Negotiate", 'Basic realm="WSMAN"'])
def test_login_refused(offered: str) -> None:
    head = f"Authorization: Negotiate {ntlm('eve')}"
    login = only(decode(post(head, status=401, response_head=f"WWW-Authenticate: {offered}")))
    assert (login.outcome, login.fault, login.user) == (
        Outcome.FAILURE,
        "HTTP 401",
        "LAB\\eve",
    )


def test_basic_credentials_are_one_login() -> None:
    head = "Authorization: Basic " + base64.b64encode(b"bob:s3cret").decode()
    body = envelope(f"{TRANSFER}/Create", SHELL)
    login, call = decode(post(head, body, flags=TransactionFlag.NEW_TOKEN))
    assert (login.method, login.user) == (LoginMethod.BASIC, "bob")
    assert only(decode(post(head, body))) == call
    assert only(decode(post(head, body, status=401))).outcome is Outcome.FAILURE
    assert "s3cret" not in repr((login, call))


def test_of_a_kerberos_ticket_the_realm() -> None:
    login = only(decode(post(f"Authorization: Kerberos {kerberos('LAB.TEST')}")))
    assert (login.user, login.details) == ("", (("realm", "LAB.TEST"),))


MSVM = f"{VIRTUAL}/Msvm_ComputerSystem"
SERVICE = f"{VIRTUAL}/Msvm_VirtualSystemManagementService"
CHANGES = [
    (f"{MSVM}/RequestStateChange", MSVM, "<p:RequestedState>3</p:RequestedState>",
     "Msvm_ComputerSystem.RequestStateChange.off", OperationClass.POWER),
    (f"{MSVM}/RequestStateChange", MSVM, "<p:RequestedState>32768</p:RequestedState>",
     "Msvm_ComputerSystem.RequestStateChange", OperationClass.POWER),
    (f"{SERVICE}/DefineSystem", SERVICE, "", "Msvm_VirtualSystemManagementService.DefineSystem",
     OperationClass.CREATE),
    (f"{SERVICE}/DestroySystem", SERVICE, "", "Msvm_VirtualSystemManagementService.DestroySystem",
     OperationClass.DELETE),
    (f"{SERVICE}/ModifyResourceSettings", SERVICE, "",
     "Msvm_VirtualSystemManagementService.ModifyResourceSettings", OperationClass.UPDATE),
    (f"{TRANSFER}/Create", SHELL, "", "shell.Create", OperationClass.CONSOLE),
    ("http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Command", SHELL, "",
     "shell.Command", OperationClass.CONSOLE),
]  # fmt: skip


@pytest.mark.parametrize(("action", "resource", "inner", "operation", "kind"), CHANGES)
def test_changes(
    action: str, resource: str, inner: str, operation: str, kind: OperationClass
) -> None:
    body = f'<p:Call_INPUT xmlns:p="x">{inner}<p:Secret>s3cret</p:Secret></p:Call_INPUT>'
    call = only(decode(post("", envelope(action, resource, selected("Name", VM), body))))
    assert isinstance(call, Call)
    assert (call.operation, call.operation_class) == (operation, kind)
    assert (call.token, call.operation_id) == (CONNECTION, "uuid:77")
    assert call.target == Target(resource.rpartition("/")[2], VM)
    assert "s3cret" not in repr(call)


def test_a_fault() -> None:
    fault = (
        b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Code>'
        b"<s:Value>s:Sender</s:Value></s:Code><s:Detail><p:WSManFault xmlns:p='x' Code='5'/>"
        b"</s:Detail></s:Fault></s:Body></s:Envelope>"
    )
    body = envelope(f"{TRANSFER}/Delete", MSVM)
    call = only(decode(post("", body, status=500, response_body=fault)))
    assert (call.outcome, call.fault, call.operation_class) == (
        Outcome.FAILURE,
        "WSMan",
        OperationClass.DELETE,
    )


@pytest.mark.parametrize("action", [f"{TRANSFER}/Get", "shell/Receive", "shell/Signal"])
def test_what_only_looks_says_nothing(action: str) -> None:
    assert decode(post("", envelope(action, SHELL))) == []


def test_a_sealed_body_says_nothing() -> None:
    assert decode(post(SEALED, b"--Encrypted Boundary\r\nContent-Type: x\r\n\x10\0\0\0")) == []


@pytest.mark.parametrize(
    ("target", "claimed"), [("/wsman", True), ("/wsman?PSVersion=5.1", True), ("/wsmanx", False)]
)
def test_claims(target: str, claimed: bool) -> None:
    assert winrm.claims(rest("POST", target)) is claimed
