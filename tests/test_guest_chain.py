"""From the person at vCenter to the account inside the guest: a ticket issued over SOAP opens
TCP 902, and the VIX commands that follow carry the whole chain."""

import json
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest

from tests.command import Record, replay, write_config
from tests.conversation import Conversation, one_after_another, request, response
from tests.fuzz.messages import split
from tests.impair import write_pcap
from tests.scapy_layers import vix
from tests.scapy_layers.authd import AuthdCommand, AuthdReply, banner
from tests.scapy_layers.vix import VixRequest, VixResponse, name_password
from tests.tls_talk import SESSION, TlsTalk, login

BOB, VC, ESX = "10.77.1.30", "10.77.3.10", "10.77.4.11"
TICKET = "52b0c1aa-7d11-4a5e-b1de-0123456789ab"
PASSWORD = "Gu3st!pw-QZX"
CONFIG = "/vmfs/volumes/5f3c2a1b-9d8e7f60/web01/web01.vmx"
GUEST_TICKET = "52d3f00d-1234-5678-9abc-def012345678"
HEAD, ENDS_AT = "VC:VSPHERE.LOCAL\\\\bob:", ":GST:appadmin"
_XML = ["Content-Type: text/xml; charset=utf-8", f'Cookie: vmware_soap_session="{SESSION}"']
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv='
    '"http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-'
    'instance"><soapenv:Body>{}</soapenv:Body></soapenv:Envelope>'
)
_VM = '<_this type="VirtualMachine">vm-42</_this>'
TICKETS = {
    "guestControl": (
        "AcquireTicket",
        _VM + "<ticketType>guestControl</ticketType>",
        f"<ticket>{TICKET}</ticket><cfgFile>{CONFIG}</cfgFile><host>{ESX}</host><port>902</port>",
    ),
    "mks": (
        "AcquireMksTicket",
        _VM,
        f"<ticket>{TICKET}</ticket><cfgFile>{CONFIG}</cfgFile><host>{ESX}</host><port>902</port>",
    ),
    "generic": (
        "AcquireGenericServiceTicket",
        '<_this type="SessionManager">SessionManager</_this>'
        '<spec xsi:type="SessionManagerVMOMIServiceRequestSpec"><method>vix</method></spec>',
        f"<id>{TICKET}</id><hostName>{ESX}</hostName>",
    ),
}


class Talk(Protocol):
    """A flow, or what TLS puts on one."""

    def say(self, content: bytes) -> None: ...
    def answer(self, content: bytes) -> None: ...


class Split:
    """A talk whose every message goes in pieces."""

    def __init__(self, talk: Talk, random: Random) -> None:
        self._talk, self._random = talk, random

    def say(self, content: Any) -> None:
        for part in split(self._random, bytes(content)):
            self._talk.say(part)

    def answer(self, content: Any) -> None:
        for part in split(self._random, bytes(content)):
            self._talk.answer(part)


def at_vcenter(*operations: tuple[str, str, str]) -> Conversation:
    """Bob logs in and calls."""
    conversation = Conversation(BOB, 40_001, VC)
    content = (
        "RetrieveServiceContent",
        '<_this type="ServiceInstance">ServiceInstance</_this>',
        "<about><name>VMware vCenter Server</name><apiType>VirtualCenter</apiType></about>",
    )
    calls = [call(*operation) for operation in operations]
    for asked, answered in [call(*content), login("VSPHERE.LOCAL\\bob", PASSWORD), *calls]:
        conversation.say(asked)
        conversation.answer(answered)
    return conversation


def call(operation: str, arguments: str, returned: str) -> tuple[bytes, bytes]:
    element = f'{operation} xmlns="urn:vim25"'
    asked = _ENVELOPE.format(f"<{element}>{arguments}</{operation}>")
    element = element.replace(operation, f"{operation}Response")
    answered = _ENVELOPE.format(
        f"<{element}><returnval>{returned}</returnval></{operation}Response>"
    )
    return request("POST", "/sdk", _XML, asked.encode()), response(200, _XML[:1], answered.encode())


def enter(talk: Split, form: str) -> None:
    """With the ticket, and on to the machine's VIX; or at once, as nobody has shown."""
    if form != "user":
        talk.say(AuthdCommand(verb=b"SESSION", argument=TICKET.encode()))
    else:
        talk.say(AuthdCommand(verb=b"USER", argument=TICKET.encode()))
        talk.answer(AuthdReply(code=b"331", text=b"Password required for you."))
        talk.say(AuthdCommand(verb=b"PASS", argument=TICKET.encode()))
        talk.answer(AuthdReply(code=b"230", text=b"User logged in."))
    if form == "at once":
        return
    talk.say(AuthdCommand(verb=b"CONNECT", argument=f"{CONFIG} vix".encode()))
    talk.answer(AuthdReply(code=b"200", text=f"Connect {CONFIG}".encode()))


def command(talk: Split, opcode: int, cookie: int, body: Any = b"", error: int = 0) -> None:
    credential = name_password(b"appadmin", PASSWORD.encode())
    fields: dict[str, Any] = {
        "handle": 3,
        "cookie": cookie,
        "credential_type": 1,
        "credential": credential,
    }
    talk.say(VixRequest(opcode=opcode, flags=5, body=body, **fields))
    talk.answer(VixResponse(cookie=cookie, error=error))


def in_guest(talk: Split) -> None:
    command(talk, 78, 1)
    command(talk, 4, 2, vix.VixRunProgram(program=b"/bin/sh", arguments=PASSWORD.encode()))
    command(talk, 18, 3, vix.VixFile(path=b"/etc/app.conf"), error=3015)
    command(talk, 87, 4)


def at_host(
    where: str, form: str, directory: Path, random: Random
) -> tuple[Conversation, list[str]]:
    """The flow of 902, and the options that decrypt it. VIX is in clear, inside the TLS of authd,
    or in clear after it."""
    flow = Conversation(BOB, 40_902, ESX, 902)
    capabilities = (
        "ServerDaemonProtocol:SOAP, MKSDisplayProtocol:VNC , VMXARGS supported, NFCSSL supported"
    )
    flow.answer(bytes(banner("1.10", capabilities, tls=where != "clear")))
    if where == "clear":
        enter(Split(flow, random), form)
        in_guest(Split(flow, random))
        return flow, []
    talk = TlsTalk(directory, flow, name=ESX)
    enter(Split(talk, random), form)
    in_guest(Split(talk if where == "tls" else flow, random))
    return flow, ["--keys", str(talk.keys)]


@pytest.mark.parametrize(
    ("kind", "form", "where"),
    [
        ("guestControl", "user", "clear"),
        ("guestControl", "session", "tls"),
        ("mks", "session", "clear after tls"),
        ("mks", "user", "tls"),
        ("generic", "session", "clear"),
        ("generic", "user", "clear after tls"),
        ("guestControl", "at once", "clear"),
        ("guestControl", "at once", "tls"),
    ],
)
def test_a_guest_command_has_its_person(kind: str, form: str, where: str, tmp_path: Path) -> None:
    random = Random(f"{kind} {form} {where}")
    flow, options = at_host(where, form, tmp_path, random)
    capture = write_pcap(
        tmp_path / "guest.pcap", one_after_another([at_vcenter(TICKETS[kind]), flow])
    )
    records = replay(write_config(tmp_path), [capture], tmp_path / "out.ndjson", *options)
    [ran] = named(records, "VIX_COMMAND_RUN_PROGRAM")
    path = ran["chain"]["path"]
    assert path.startswith(HEAD) and path.endswith(ENDS_AT), path
    assert ran["guest_user"] == "appadmin"
    assert ran["outcome"] == "success"
    [deleted] = named(records, "VIX_COMMAND_DELETE_GUEST_FILE")
    assert deleted["chain"]["path"] == path
    assert deleted["fault"] == "VIX_E_GUEST_USER_PERMISSIONS"
    [logged_in] = [each for each in named(records, "VIX_COMMAND_CHECK_USER_ACCOUNT")
                   if each["kind"] == "login"]  # fmt: skip
    assert logged_in["chain"]["path"] == path
    assert PASSWORD not in json.dumps(records) and TICKET not in json.dumps(records)


def test_a_guest_ticket_stands_for_its_account(tmp_path: Path) -> None:
    """Got over SOAP for a name and a password, shown to VIX without them."""
    acquired = (
        "AcquireCredentialsInGuest",
        '<_this type="GuestAuthManager">guestOperationsAuthManager</_this>'
        '<vm type="VirtualMachine">vm-42</vm><requestedAuth xsi:type="NamePasswordAuthentication">'
        "<interactiveSession>false</interactiveSession><username>appadmin</username>"
        f"<password>{PASSWORD}</password></requestedAuth>",
        f"<interactiveSession>false</interactiveSession><ticket>{GUEST_TICKET}</ticket>",
    )
    flow = Conversation(BOB, 40_902, ESX, 902)
    flow.answer(bytes(banner("1.10", "VMXARGS supported, NFCSSL supported", tls=False)))
    talk = Split(flow, Random("guest ticket"))
    enter(talk, "user")
    credential = vix.VixTicket(ticket=GUEST_TICKET.encode())
    shown: dict[str, Any] = {"credential_type": 9, "credential": credential}
    talk.say(VixRequest(opcode=193, flags=5, cookie=1, body=vix.VixKill(pid=77), **shown))
    talk.answer(VixResponse(cookie=1))
    conversations = [at_vcenter(acquired, TICKETS["guestControl"]), flow]
    capture = write_pcap(tmp_path / "guest.pcap", one_after_another(conversations))
    records = replay(write_config(tmp_path), [capture], tmp_path / "out.ndjson")
    [killed] = named(records, "VIX_COMMAND_TERMINATE_PROCESS")
    path = killed["chain"]["path"]
    assert path.startswith(HEAD) and path.endswith(ENDS_AT), path
    assert killed["guest_user"] == "appadmin"
    assert not any(secret in json.dumps(records) for secret in (PASSWORD, TICKET, GUEST_TICKET))


def named(records: list[Record], operation: str) -> list[Record]:
    """What was done, without the alerts about it."""
    return [
        each
        for each in records
        if each.get("op", {}).get("name") == operation and each["kind"] != "alert"
    ]
