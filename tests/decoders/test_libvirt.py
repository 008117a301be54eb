"""libvirt's RPC: logins by SASL and without, changes with their answers, secrets in them."""

import struct
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoders.libvirt import PENDING_MAX, Libvirt
from decoders.libvirt_procedures import (
    AGENT_COMMAND,
    CLOSE,
    OPEN,
    PROCEDURES,
    QEMU,
    REMOTE,
    SASL_START,
    SASL_STEP,
    SET_SSH_KEYS,
    SET_USER_PASSWORD,
)
from decoders.message import (
    Call,
    DecodeError,
    Direction,
    Framed,
    FramedFlag,
    Framing,
    Login,
    LoginMethod,
    Logout,
    OperationClass,
    Outcome,
    Target,
)
from decoders.xdr import Reader
from tests.decoders.crafting import hasher, only

C, S = Direction.TO_SERVER, Direction.TO_CLIENT
FLOW = "flow:C1"
ID = "0b1f2c3d-1111-4222-8333-444455556666"
OTHER = "9a0b1c2d-1111-4222-8333-444455556666"
OK, ERROR = 0, 1
CREATE, DESTROY, DEFINE_XML = 9, 12, 11


def u32(*numbers: int) -> bytes:
    return b"".join(struct.pack(">I", number) for number in numbers)


def text(value: str) -> bytes:
    data = value.encode()
    return u32(len(data)) + data + b"\0" * (-len(data) % 4)


def optional(value: str) -> bytes:
    return u32(1) + text(value)


def characters(data: bytes) -> bytes:
    return u32(len(data)) + b"".join(u32(each) for each in data)


def domain(name: str = "web", identity: str = ID) -> bytes:
    return text(name) + UUID(identity).bytes + u32(3)


def error(number: int) -> bytes:
    return u32(number, 10) + optional("S3cret text") + u32(2, 0, 0, 0, 0, 0, 0, 0)


class Talk:
    """A flow told to a decoder, message by message; a serial for each call."""

    def __init__(self) -> None:
        self.decoder = Libvirt(hasher, FLOW)
        self.serial = 0
        self.time_ns = 1_000

    def say(self, direction: Direction, kind: int, number: int, status: int, body: bytes,
            program: int = REMOTE, flags: int = 0) -> list[Any]:  # fmt: skip
        self.time_ns += 100
        head = u32(28 + len(body), program, 1, number, kind, self.serial, status)
        framed = Framed(Framing.LIBVIRT, flags, 0, len(body) + 28, self.time_ns - 50, head + body)
        return list(self.decoder.message(direction, framed, self.time_ns))

    def call(self, number: int, body: bytes = b"", program: int = REMOTE) -> list[Any]:
        self.serial += 1
        return self.say(C, 0, number, OK, body, program)

    def ask(self, number: int, body: bytes = b"", answer: bytes = b"", status: int = OK,
            program: int = REMOTE) -> list[Any]:  # fmt: skip
        assert self.call(number, body, program) == []
        return self.say(S, 1, number, status, answer, program)

    def sasl(self, mechanism: str, first: bytes, *, complete: bool = True) -> list[Any]:
        body = text(mechanism) + u32(0) + characters(first)
        return self.ask(SASL_START, body, u32(int(complete), 1, 0))


SCRAM = b"n,,n=bob=2Cthe=3Dfirst,r=fyko+d2lbbFgONRv9qkxdawL"
DIGEST = b'username="bob",realm="lab",nonce="n",response=6084c6db3fede7352c551284490fd0fc'


@pytest.mark.parametrize(
    ("mechanism", "first", "user", "method"),
    [
        ("PLAIN", b"\0bob\0s3cret", "bob", LoginMethod.PASSWORD),
        ("PLAIN", b"admin\0bob\0s3cret", "bob", LoginMethod.PASSWORD),
        ("SCRAM-SHA-256", SCRAM, "bob,the=first", LoginMethod.PASSWORD),
        ("DIGEST-MD5", DIGEST, "bob", LoginMethod.PASSWORD),
        ("EXTERNAL", b"bob", "bob", LoginMethod.CERTIFICATE),
        ("GSSAPI", b"\x60\x80", "", LoginMethod.SSPI),
    ],
)
def test_login(mechanism: str, first: bytes, user: str, method: LoginMethod) -> None:
    login = only(Talk().sasl(mechanism, first))
    assert isinstance(login, Login)
    assert (login.user, login.claimed, login.method) == (user, user, method)
    assert (login.operation, login.outcome) == ("auth_sasl", Outcome.SUCCESS)
    assert (login.token, login.new_tokens) == (FLOW, ())
    assert ("mechanism", mechanism) in login.details
    assert "s3cret" not in repr(login) and "6084" not in repr(login)


def test_login_in_steps() -> None:
    talk = Talk()
    assert talk.sasl("DIGEST-MD5", b"", complete=False) == []
    assert talk.ask(SASL_STEP, u32(0) + characters(DIGEST), u32(0, 1, 0)) == []
    login = only(talk.ask(SASL_STEP, u32(1, 0), u32(1, 1, 0)))
    assert (login.user, login.outcome) == ("bob", Outcome.SUCCESS)


def test_login_refused_and_tried_again() -> None:
    talk = Talk()
    body = text("PLAIN") + u32(0) + characters(b"\0eve\0s3cret")
    login = only(talk.ask(SASL_START, body, error(45), ERROR))
    assert (login.user, login.outcome, login.fault) == (
        "eve",
        Outcome.FAILURE,
        "authentication failed",
    )
    assert only(talk.sasl("PLAIN", b"\0bob\0s3cret")).user == "bob"


def test_of_a_kerberos_ticket_the_realm() -> None:
    ticket = b"\xa0\x03\x02\x01\x05\xa1\x0a\x1b\x08LAB.TEST\xa2"
    login = only(Talk().sasl("GSSAPI", b"\x60\x82" + ticket))
    assert (login.user, ("realm", "LAB.TEST") in login.details) == ("", True)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_connection_without_an_account(sealed: bool) -> None:
    talk = Talk()
    if sealed:
        talk.decoder.tls(1, True, 0)
    login = only(talk.ask(OPEN, optional("qemu:///system") + u32(0)))
    assert (login.operation, login.user) == ("connect_open", "")
    assert login.method is (LoginMethod.CERTIFICATE if sealed else LoginMethod.NONE)
    assert login.details == (("uri", "qemu:///system"),)
    assert talk.ask(OPEN, u32(0, 0)) == []


def test_logout() -> None:
    talk = Talk()
    assert talk.ask(CLOSE) == []
    talk.sasl("PLAIN", b"\0bob\0s3cret")
    assert talk.ask(OPEN, optional("qemu:///system") + u32(0)) == []
    logout = only(talk.ask(CLOSE))
    assert isinstance(logout, Logout)
    assert (logout.token, logout.operation) == (FLOW, "connect_close")


CHANGES = [
    (CREATE, "domain_create", OperationClass.POWER),
    (DESTROY, "domain_destroy", OperationClass.POWER),
    (27, "domain_reboot", OperationClass.POWER),
    (35, "domain_undefine", OperationClass.DELETE),
    (62, "domain_migrate_perform", OperationClass.UPDATE),
    (185, "domain_snapshot_create_xml", OperationClass.CREATE),
    (201, "domain_open_console", OperationClass.CONSOLE),
    (240, "domain_block_pull", OperationClass.DISK),
    (336, "domain_fsthaw", OperationClass.GUEST),
]


@pytest.mark.parametrize(("number", "operation", "kind"), CHANGES)
def test_changes_of_a_domain(number: int, operation: str, kind: OperationClass) -> None:
    talk = Talk()
    call = only(talk.ask(number, domain() + u32(0)))
    assert isinstance(call, Call)
    assert (call.operation, call.operation_class) == (operation, kind)
    assert (call.target, call.token) == (Target("Domain", ID, "web"), FLOW)
    assert (call.outcome, call.fault) == (Outcome.SUCCESS, "")
    assert call.time_ns < call.end_ns


OTHERS = [
    (42, text("default") + UUID(ID).bytes, "network_destroy", Target("Network", ID, "default")),
    (80, text("pool") + UUID(ID).bytes, "storage_pool_destroy", Target("StoragePool", ID, "pool")),
    (94, text("pool") + text("a.img") + text("/k"), "storage_vol_delete",
     Target("StorageVolume", name="pool/a.img")),
    (134, text("eth0") + text("00:11"), "interface_destroy", Target("Interface", name="eth0")),
    (193, text("before") + domain(), "domain_snapshot_delete", Target("Domain", ID, "web")),
    (217, text("web"), "domain_migrate_finish3", Target("Domain", name="web")),
    (144, UUID(ID).bytes + u32(1) + text("disk") + text("s3cret"), "secret_set_value",
     Target("Secret", ID)),
    (303, u32(1), "domain_migrate_prepare3_params", Target()),
]  # fmt: skip


@pytest.mark.parametrize(("number", "body", "operation", "target"), OTHERS)
def test_changes_of_others(number: int, body: bytes, operation: str, target: Target) -> None:
    call = only(Talk().ask(number, body + u32(0)))
    assert (call.operation, call.target) == (operation, target)
    assert "s3cret" not in repr(call)


DESCRIPTION = "<domain type='kvm'><name>web</name><graphics passwd='s3cret'/>{}</domain>"


@pytest.mark.parametrize("filler", ["", "<!--" + "x" * 9000 + "-->"])
def test_a_description_becomes_a_domain(filler: str) -> None:
    body = text(DESCRIPTION.format(filler))[: 4 + 4000]
    call = only(Talk().ask(DEFINE_XML, body, domain()))
    assert (call.target, call.operation_class) == (
        Target("Domain", ID, "web"),
        OperationClass.CREATE,
    )
    call = only(Talk().ask(DEFINE_XML, body, error(27), ERROR))
    assert (call.target, call.fault) == (Target("Domain", name="web"), "XML error")
    assert "s3cret" not in repr(call) and "S3cret" not in repr(call)


def test_a_snapshot_is_related_to_its_domain() -> None:
    call = only(Talk().ask(185, domain() + text("<x/>"), text("before") + domain()))
    assert (call.target, call.related) == (Target("Domain", ID, "web"), ())


def test_a_password_of_the_guest() -> None:
    body = domain() + optional("root") + optional("s3cret") + u32(0)
    call = only(Talk().ask(SET_USER_PASSWORD, body))
    assert (call.guest_user, call.operation_class) == ("root", OperationClass.GUEST)
    assert "s3cret" not in repr(call)


def test_keys_of_an_account_of_the_guest() -> None:
    body = domain() + text("root") + u32(1) + text("ssh-ed25519 s3cret") + u32(0)
    call = only(Talk().ask(SET_SSH_KEYS, body))
    assert (call.operation, call.guest_user) == ("domain_authorized_ssh_keys_set", "root")
    assert "s3cret" not in repr(call)


def test_a_command_of_the_guest_agent() -> None:
    command = '{"execute":"guest-exec","arguments":{"path":"/bin/sh","arg":["s3cret"]}}'
    body = domain() + text(command) + u32(5, 0)
    call = only(Talk().ask(AGENT_COMMAND, body, program=QEMU))
    assert (call.operation, call.operation_class) == ("qemu_agent_command", OperationClass.GUEST)
    assert call.details == (("command", "guest-exec"),)
    assert "s3cret" not in repr(call)


def test_a_refused_change() -> None:
    call = only(Talk().ask(CREATE, domain(), error(55), ERROR))
    assert (call.outcome, call.fault) == (Outcome.FAILURE, "operation invalid")
    assert only(Talk().ask(CREATE, domain(), error(999), ERROR)).fault == "error 999"


def test_answers_find_their_calls() -> None:
    talk = Talk()
    talk.call(CREATE, domain())
    talk.call(DESTROY, domain("db", OTHER))
    second = only(talk.say(S, 1, DESTROY, OK, b""))
    talk.serial -= 1
    first = only(talk.say(S, 1, CREATE, OK, b""))
    assert (first.target.name, second.target.name) == ("web", "db")
    assert talk.say(S, 1, CREATE, OK, b"") == []


def test_calls_without_answers_are_told_at_the_end() -> None:
    talk = Talk()
    for _ in range(PENDING_MAX):
        assert talk.call(CREATE, domain()) == []
    shed = only(talk.call(DESTROY, domain()))
    assert (shed.operation, shed.outcome) == ("domain_create", Outcome.UNKNOWN)
    told = talk.decoder.close(99_999, 1, 1)
    assert len(told) == PENDING_MAX
    assert talk.decoder.close(99_999, 1, 1) == []


def test_what_only_looks_says_nothing() -> None:
    talk = Talk()
    assert talk.ask(14, domain() + u32(0), text("<domain/>")) == []
    assert talk.ask(273, u32(1, 0), u32(0, 0)) == []
    assert talk.decoder.close(99_999, 1, 1) == []


def test_bulk_and_gaps_say_nothing() -> None:
    talk = Talk()
    assert talk.say(C, 3, 208, 2, b"x" * 40, flags=FramedFlag.BULK) == []
    assert talk.decoder.gap(C, 10, 5) == []


@pytest.mark.parametrize(
    "number", sorted(number for program, number in PROCEDURES if program == REMOTE)
)
def test_broken_bodies_are_survived(number: int) -> None:
    """Cut anywhere, and of any content: a target that is not certain is none."""
    for body in (b"", u32(2**32 - 1), text("web"), domain()[:20], u32(7, 1) * 8):
        talk = Talk()
        talk.call(number, body)
        call = only(talk.say(S, 1, number, OK, u32(3)))
        assert call.operation == PROCEDURES[REMOTE, number].name


@pytest.mark.parametrize("body", [b"", u32(9), text("PLAIN"), text("PLAIN") + u32(0, 2**31)])
def test_broken_logins_are_errors(body: bytes) -> None:
    with pytest.raises(DecodeError):
        Talk().call(SASL_START, body)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=120)), max_size=8), st.data())
def test_random_bytes(said: list[tuple[bool, bytes]], data: st.DataObject) -> None:
    talk = Talk()
    numbers = st.sampled_from([OPEN, CLOSE, SASL_START, SASL_STEP, CREATE, DEFINE_XML, 999])
    for is_call, body in said:
        try:
            if is_call:
                talk.call(data.draw(numbers), body)
            else:
                talk.say(S, 1, data.draw(numbers), data.draw(st.integers(0, 3)), body)
        except DecodeError:
            return
    talk.decoder.close(99_999, 1, 1)


def test_xdr_shows_no_content() -> None:
    assert "s3cret" not in repr(Reader(text("s3cret")))
