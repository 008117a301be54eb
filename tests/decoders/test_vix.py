"""VIX messages, built by the reference layers: who did what in which guest, and no secret."""

import base64
import struct
from typing import Any

import pytest

from decoders.message import (
    Call,
    DecodeError,
    Direction,
    Framed,
    FramedFlag,
    Framing,
    GuestLogin,
    GuestLogout,
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    Outcome,
    Target,
    TicketIssued,
)
from decoders.vix import PENDING_MAX, VixDecoder
from decoders.vix_errors import error_name
from decoders.vix_opcodes import NAMES, class_of, name_of
from tests.decoders.crafting import hasher, only
from tests.scapy_layers import vix
from tests.scapy_layers.vix import VixRequest, VixResponse, bare_name_password, name_password, saml

PASSWORD = b"Gu3st!pw"
VM = Target("VirtualMachine", name="web01")
ASSERTION = (
    b'<saml2:Assertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"><saml2:Subject>'
    b"<saml2:NameID>alice@vsphere.local</saml2:NameID></saml2:Subject>"
    b"<ds:SignatureValue>Gu3st!pw</ds:SignatureValue></saml2:Assertion>"
)
TO_GUEST = 5  # a request that is forwarded


class Flow:
    """A decoder and its clock."""

    def __init__(self) -> None:
        self.decoder = VixDecoder(hasher, "b2s:flow")
        self.now = 1000

    def say(self, direction: Direction, data: bytes, flags: int = 0) -> list[Message]:
        self.now += 10
        framed = Framed(Framing.VIX, flags, 0, len(data), self.now - 5, data)
        messages = self.decoder.message(direction, framed, self.now)
        assert "Gu3st" not in repr(messages)
        return messages

    def ask(self, **fields: Any) -> list[Message]:
        fields = {"flags": TO_GUEST, "cookie": 1, "handle": 3, **fields}
        return self.say(Direction.TO_SERVER, bytes(VixRequest(**fields)))

    def answer(self, **fields: Any) -> list[Message]:
        response = bytes(VixResponse(**{"cookie": 1, **fields}))
        return self.say(Direction.TO_CLIENT, response)

    def does(self, opcode: int, *, error: int = 0, returned: bytes = b"", **fields: Any) -> Any:
        """The messages of a request and its response."""
        assert self.ask(opcode=opcode, **fields) == []
        return self.answer(error=error, body=returned)

    def close(self) -> list[Message]:
        return self.decoder.close(self.now + 10, 0, 0)


APPADMIN: dict[str, Any] = {
    "credential_type": 1,
    "credential": name_password(b"appadmin", PASSWORD),
}


def test_program_in_guest() -> None:
    flow = Flow()
    flow.decoder.opened(VM)
    body = vix.VixRunProgram(program=b"/bin/sh", arguments=b"-c Gu3st!pw")
    ran = vix.VixProgramRan(pid=4711)
    call = only(flow.does(4, body=body, returned=bytes(ran), request_flags=8, **APPADMIN))
    assert call == Call(
        time_ns=1005,
        end_ns=1020,
        token="b2s:flow",
        api="vix",
        operation="VIX_COMMAND_RUN_PROGRAM",
        operation_class=OperationClass.GUEST,
        target=VM,
        related=(Target("GuestProgram", name="/bin/sh"), Target("GuestProcess", "4711")),
        outcome=Outcome.SUCCESS,
        guest_user="appadmin",
        guest_interactive=True,
        details=(("credential", "name_password"),),
    )


def test_refused_in_guest() -> None:
    call = only(Flow().does(185, body=vix.VixStartProgram(program=b"a"), error=3015, **APPADMIN))
    assert (call.outcome, call.fault) == (Outcome.FAILURE, "VIX_E_GUEST_USER_PERMISSIONS")
    assert call.guest_user == "appadmin"


def test_a_guest_session_from_login_to_logout() -> None:
    flow = Flow()
    flow.decoder.opened(VM)
    call, login = flow.does(78, request_flags=8, **APPADMIN)
    assert isinstance(call, Call)
    assert isinstance(login, GuestLogin)
    assert (login.outcome, login.guest_user, login.credential) == (
        Outcome.SUCCESS, "appadmin", "name_password",
    )  # fmt: skip
    assert (login.target, login.handle, login.interactive) == (VM, "3", True)
    assert (login.token, login.api) == ("b2s:flow", "vix")
    # A command without a credential of its own acts for whom its handle logged in.
    assert only(flow.does(75)).guest_user == "appadmin"
    assert only(flow.does(75, handle=4)).guest_user == ""
    call, logout = flow.does(87, **APPADMIN)
    assert isinstance(logout, GuestLogout)
    assert (logout.guest_user, logout.target, logout.handle) == ("appadmin", VM, "3")
    assert only(flow.does(75)).guest_user == ""
    assert flow.close() == []


def test_a_guest_session_until_its_handle_is_closed() -> None:
    flow = Flow()
    flow.does(78, **APPADMIN)
    logout = only(flow.close())
    assert isinstance(logout, GuestLogout)
    assert (logout.guest_user, logout.operation, logout.handle) == (
        "appadmin",
        "handle closed",
        "3",
    )


def test_a_refused_guest_login() -> None:
    flow = Flow()
    _, login = flow.does(78, error=35, **APPADMIN)
    assert (login.outcome, login.fault) == (Outcome.FAILURE, "VIX_E_AUTHENTICATION_FAIL")
    assert flow.close() == []


def test_a_ticket_stands_for_the_account() -> None:
    flow = Flow()
    body = vix.VixAcquireCredentials(session=1)
    call, issued, login = flow.does(190, body=body, returned=b"52Gu3st-ticket\0", **APPADMIN)
    ticket = hasher("52Gu3st-ticket")
    assert isinstance(issued, TicketIssued)
    assert (issued.kind, issued.ticket) == ("guest", ticket)
    assert (login.guest_user, login.ticket) == ("appadmin", ticket)
    ticketed: dict[str, Any] = {
        "credential_type": 9,
        "credential": vix.VixTicket(ticket=b"52Gu3st-ticket"),
    }
    call = only(flow.does(75, **ticketed))
    assert (call.guest_user, call.guest_ticket) == ("appadmin", ticket)
    assert call.details == (("credential", "ticketed_session"),)
    assert only(flow.does(75, **{**ticketed, "handle": 4})).guest_user == "appadmin"
    _, logout = flow.does(191, **ticketed)
    assert isinstance(logout, GuestLogout)
    assert (logout.guest_user, logout.ticket) == ("appadmin", ticket)
    assert only(flow.does(75, **ticketed)).guest_user == ""


@pytest.mark.parametrize("kind", [1, 4, 8])
@pytest.mark.parametrize("name", ["bob", "CORP\\eve", "jörg", "a", "an", "ann", "anna"])
def test_names_in_credentials(kind: int, name: str) -> None:
    for credential in (
        name_password(name.encode(), PASSWORD),
        bare_name_password(name.encode(), PASSWORD),
        vix.VixNamePassword(
            name_length=len(name.encode()),
            password_length=len(PASSWORD),
            coded=name.encode() + b"\0" + PASSWORD + b"\0",
        ),
    ):
        call = only(Flow().does(75, credential_type=kind, credential=credential))
        assert call.guest_user == name


def test_a_name_whose_rest_was_zeroed() -> None:
    region = bytes(name_password(b"bobby1", PASSWORD))
    zeroed = region[:16] + bytes(len(region) - 16)
    assert zeroed[8:16] == b"Ym9iYnkx"
    request = bytes(VixRequest(opcode=75, flags=5, credential_type=1, credential=zeroed))
    for flags, name in ((FramedFlag.BLANKED, "bobby1"), (0, "")):
        flow = Flow()
        assert flow.say(Direction.TO_SERVER, request, flags) == []
        assert [call.guest_user for call in flow.close() if isinstance(call, Call)] == [name]


@pytest.mark.parametrize(
    ("name", "credential"),
    [
        ("__VMware_Vix_Shared_Secret_1__", "pseudo_shared_secret"),
        ("__VMware_Vix_Guest_User_Admin__", "pseudo_guest_user_admin"),
        ("__VMware_Vix_Guest_Console_User__", "pseudo_guest_console_user"),
    ],
)
def test_pseudo_users_are_no_persons(name: str, credential: str) -> None:
    region = name_password(name.encode(), PASSWORD)
    call = only(Flow().does(75, credential_type=1, credential=region))
    assert (call.guest_user, call.details) == ("", (("credential", credential),))


def test_a_host_secret_is_no_name() -> None:
    call = only(Flow().does(0, credential_type=6, credential=name_password(PASSWORD, b"x")))
    assert (call.guest_user, call.details) == ("", (("credential", "host_config_secret"),))


@pytest.mark.parametrize("kind", [11, 12])
def test_assertions(kind: int) -> None:
    for name, user in ((b"", "alice@vsphere.local"), (b"svc", "svc")):
        call = only(Flow().does(75, credential_type=kind, credential=saml(ASSERTION, name)))
        assert call.guest_user == user
        subjects = [value for key, value in call.details if key == "saml_subject"]
        assert subjects == (["alice@vsphere.local"] if name else [])


@pytest.mark.parametrize(("user_at", "user"), [(68, "CORP\\eve"), (71, ""), (70, ""), (72, "")])
def test_sspi(user_at: int, user: str) -> None:
    """A name is none where it lies in a response."""
    head = b"NTLMSSP\0" + struct.pack("<I", 3) + struct.pack("<HHI", 8, 8, 71) + bytes(8)
    head += struct.pack("<HHI", 4, 4, 64) + struct.pack("<HHI", 3, 3, user_at) + bytes(20)
    token = vix.VixSspi(token=base64.b64encode(head + b"CORPeve" + b"Gu3st!pw"))
    call = only(Flow().does(75, credential_type=10, credential=token))
    assert call.guest_user == user


@pytest.mark.parametrize("kind", ["none", "anonymous", "root", "console_user", "type_77"])
def test_credentials_without_a_name(kind: str) -> None:
    number = {"none": 0, "anonymous": 2, "root": 3, "console_user": 5, "type_77": 77}[kind]
    call = only(Flow().does(75, credential_type=number))
    assert call.details == ((("credential", kind),) if kind != "none" else ())


FILE = "GuestFile"


@pytest.mark.parametrize(
    ("opcode", "body", "related"),
    [
        (12, vix.VixRename(old=b"/etc/x", new=b"C:\\x"), [(FILE, "/etc/x"), (FILE, "C:\\x")]),
        (18, vix.VixFile(path=b"/tmp/x"), [(FILE, "/tmp/x")]),
        (46, vix.VixRunScript(interpreter=b"/bin/sh", script=b"Gu3st"),
         [("GuestProgram", "/bin/sh")]),
        (76, vix.VixRename(old=b"/a", new=b"/b"), [(FILE, "/a"), (FILE, "/b")]),
        (79, vix.VixFile(path=b"/srv"), [(FILE, "/srv")]),
        (79, struct.pack("<iIq", 1, 4, 0) + b"/srv\0", [(FILE, "/srv")]),
        (177, vix.VixListFiles(path=b"/srv", pattern=b"*"), [(FILE, "/srv")]),
        (179, vix.VixRenameEx(old=b"/a", new=b"/b"), [(FILE, "/a"), (FILE, "/b")]),
        (189, vix.VixTransferToGuest(path=b"/tmp/y"), [(FILE, "/tmp/y")]),
        (197, vix.VixAddAlias(user=b"root", certificate=b"Gu3st!pw"), [("GuestUser", "root")]),
        (204, vix.VixSetRegistryValue(path=b"HKLM\\Run", value=b"x", data=b"Gu3st!pw"),
         [("GuestRegistryKey", "HKLM\\Run")]),
        (4, vix.VixRunProgram(program=b"a\xff"), []),
        (4, vix.VixRunProgram(program=b"/bin/sh", program_length=3), []),
        (4, b"\0\0\0", []),
    ],
)  # fmt: skip
def test_what_a_guest_command_names(opcode: int, body: Any, related: list[tuple[str, str]]) -> None:
    call = only(Flow().does(opcode, body=body, **APPADMIN))
    assert list(call.related) == [Target(kind, name=name) for kind, name in related]


def test_a_killed_process() -> None:
    call = only(Flow().does(193, body=vix.VixKill(pid=77), **APPADMIN))
    assert call.related == (Target("GuestProcess", "77"),)


@pytest.mark.parametrize(
    ("opcode", "kind"),
    [
        (0, OperationClass.POWER),
        (14, OperationClass.CREATE),
        (17, OperationClass.CREATE),
        (16, OperationClass.UPDATE),
        (32, OperationClass.DELETE),
        (58, OperationClass.GUEST),
        (130, OperationClass.CONSOLE),
    ],
)
def test_commands_at_the_host(opcode: int, kind: OperationClass) -> None:
    call = only(Flow().does(opcode, flags=1))
    assert (call.operation_class, call.operation) == (kind, name_of(opcode))


def test_reads_are_no_actions() -> None:
    for opcode in (20, 38, 50, 62, 83, 151, 174, 9999):
        assert Flow().does(opcode, flags=1) == []
    call = only(Flow().does(9999, flags=TO_GUEST))
    assert (call.operation, call.operation_class) == ("VIX_COMMAND_9999", OperationClass.GUEST)


def test_an_opened_machine_is_the_target_of_its_handle() -> None:
    flow = Flow()
    path = b"[datastore1] web01/web01.vmx"
    opened = only(flow.does(47, flags=1, handle=9, body=b"\1\0\0\0" + path + b"\0\2\0"))
    assert opened.target == Target("VirtualMachine", name="web01")
    assert opened.related == (Target("DatastoreFile", name=path.decode()),)
    assert only(flow.does(75, handle=9)).target == opened.target
    assert only(flow.does(75, handle=8)).target == Target()


def test_a_host_login() -> None:
    flow = Flow()
    [login] = flow.does(
        110, flags=1, credential_type=1, credential=name_password(b"root", PASSWORD)
    )
    assert isinstance(login, Login)
    assert (login.user, login.method, login.outcome) == (
        "root", LoginMethod.PASSWORD, Outcome.SUCCESS,
    )  # fmt: skip
    [logout] = flow.does(157, flags=1)
    assert isinstance(logout, Logout)
    assert flow.does(110, flags=1) == []


def test_responses_find_their_requests() -> None:
    flow = Flow()
    for cookie in (1, 2, 3):
        flow.ask(opcode=75, cookie=cookie, handle=cookie)
    flow.say(Direction.TO_CLIENT, bytes(vix.VixEvent(cookie=2)))
    assert only(flow.answer(cookie=2, error=3016)).fault == "VIX_E_TOOLS_NOT_RUNNING"
    assert flow.answer(cookie=2) == []  # answered already
    again = only(flow.ask(opcode=85, cookie=1))
    assert (again.operation, again.outcome) == ("VIX_COMMAND_LIST_PROCESSES", Outcome.UNKNOWN)
    assert [call.outcome for call in flow.close() if isinstance(call, Call)] == [
        Outcome.UNKNOWN, Outcome.UNKNOWN,
    ]  # fmt: skip


def test_unanswered_requests_are_bounded() -> None:
    flow = Flow()
    early = [
        call for cookie in range(PENDING_MAX + 5) for call in flow.ask(opcode=75, cookie=cookie)
    ]
    assert len(early) == 5
    assert len(flow.close()) == PENDING_MAX


def test_a_request_from_the_server_is_none() -> None:
    flow = Flow()
    assert flow.say(Direction.TO_CLIENT, bytes(VixRequest(opcode=4, flags=5))) == []
    assert flow.say(Direction.TO_SERVER, bytes(VixResponse())) == []
    assert flow.close() == []


def test_what_lies_between_messages_is_none() -> None:
    flow = Flow()
    flow.ask(opcode=75)
    assert flow.say(Direction.TO_CLIENT, b"", FramedFlag.BULK) == []
    assert only(flow.answer()).outcome is Outcome.SUCCESS


def test_a_cut_message_keeps_its_header() -> None:
    flow = Flow()
    whole = bytes(VixRequest(opcode=32, flags=1, cookie=5, body=bytes(40)))
    assert flow.say(Direction.TO_SERVER, whole[:51], FramedFlag.CUT) == []
    assert only(flow.answer(cookie=5)).operation == "VIX_COMMAND_DELETE_VM"


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, b"\2"), (4, b"\4"), (10, b"\x16\0"), (9, b"\x02"), (14, b"\xff\xff"), (18, b"\xff")],
)
def test_wrong_headers(at: int, value: bytes) -> None:
    whole = bytearray(bytes(VixRequest(opcode=4)))
    whole[at : at + len(value)] = value
    with pytest.raises(DecodeError):
        Flow().say(Direction.TO_SERVER, bytes(whole))


def test_names_of_commands_and_errors() -> None:
    for opcode, name in vix.OPCODES.items():
        assert name_of(opcode) == f"VIX_COMMAND_{name}"
    for error, name in vix.ERRORS.items():
        assert error_name(error) == ("" if error == 0 else f"VIX_E_{name}")
    assert error_name(35 | 7 << 32) == "VIX_E_AUTHENTICATION_FAIL"  # 64 bit: additional error 7
    assert error_name(3 | 9 << 16) == "VIX_E_INVALID_ARG"
    assert error_name(65000) == "VIX_E_65000"
    assert class_of(300, in_guest=False) is None
    assert len(set(NAMES.values())) == len(NAMES)


def test_an_additional_error_is_told() -> None:
    flow = Flow()
    flow.ask(opcode=0, flags=1)
    call = only(flow.answer(error=1, additional_error=42))
    assert (call.fault, call.details) == ("VIX_E_FAIL", (("additional_error", "42"),))
