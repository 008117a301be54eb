"""The dialog of TCP 902: who logged in how, and what was opened; no secret is said again."""

import random

import pytest

from decoders.authd import PENDING_MAX, Authd
from decoders.decoder import StreamDecoder
from decoders.message import (
    Call,
    DecodeError,
    Direction,
    Framed,
    FramedFlag,
    Framing,
    Login,
    LoginMethod,
    Message,
    Moved,
    OperationClass,
    Outcome,
    ServerSeen,
    Target,
)
from tests.decoders.crafting import hasher
from tests.decoders.framed_crafting import (
    BANNER,
    ESX,
    PLAIN,
    SESSION,
    TICKET,
    VMX,
    C,
    Lost,
    S,
    Said,
    Sealed,
    Step,
    aio,
    at,
    bulk,
    classic,
    line,
    only_decode_errors,
    open_file,
    opened_file,
    secret,
    tell,
)

BAD, EARLY = "530 Login incorrect.", "530 Please login with USER and PASS."
SUCCESS, FAILURE, UNKNOWN = Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNKNOWN


class Machine:
    """What a machine's VIX decoder is told."""

    name = "vix"

    def __init__(self, target: Target) -> None:
        self.told: list[object] = [target]

    def message(self, direction: Direction, framed: Framed, time_ns: int) -> list[Message]:
        self.told.append((direction, framed.data))
        return []

    def gap(self, direction: Direction, size_bytes: int, time_ns: int) -> list[Message]:
        self.told.append(size_bytes)
        return []

    def tls(self, tls_session: int, is_open: bool, time_ns: int) -> list[Message]:
        self.told.append(is_open)
        return []

    def close(self, time_ns: int, to_server_bytes: int, to_client_bytes: int) -> list[Message]:
        self.told.append("closed")
        return []


def authd() -> Authd:
    return Authd(hasher, SESSION, Machine)


def asked(name: str) -> list[Step]:
    return [line(C, f"USER {name}"), line(S, f"331 Password required for {name}."), secret()]


def taken(name: str) -> list[Step]:
    return [*asked(name), line(S, f"230 User {name} logged in.")]


def login(
    user: str,
    outcome: Outcome,
    begin: int,
    end: int,
    *,
    fault: str = "",
    ticket: str = "",
    operation: str = "USER",
) -> Login:
    return Login(
        time_ns=at(begin),
        end_ns=at(end),
        api="authd",
        operation=operation,
        method=LoginMethod.TICKET if ticket else LoginMethod.PASSWORD,
        outcome=outcome,
        fault=fault,
        user=user,
        claimed=user,
        new_tokens=(SESSION,) if outcome is SUCCESS else (),
        ticket=hasher(ticket) if ticket else "",
    )


REFUSED = "530 Login incorrect"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (taken("root"), [login("root", SUCCESS, 1, 4)]),
        (taken("LAB\\jörg"), [login("LAB\\jörg", SUCCESS, 1, 4)]),
        ([*asked("root"), line(S, BAD)], [login("root", FAILURE, 1, 4, fault=REFUSED)]),
        (  # guessing goes on
            [*asked("root"), line(S, BAD), *asked("vpxuser"), line(S, BAD), *taken("x")],
            [
                login("root", FAILURE, 1, 4, fault=REFUSED),
                login("vpxuser", FAILURE, 5, 8, fault=REFUSED),
                login("x", SUCCESS, 9, 12),
            ],
        ),
        (asked("root"), [login("root", UNKNOWN, 1, 4)]),  # cut
        ([line(C, "USER root"), line(S, "331 Password required for root.")], []),
        (  # pipelined
            [line(C, "USER a"), secret(), line(C, "user b"), secret("XPAS"),
             line(S, "331 a"), line(S, BAD), line(S, "331 b"), line(S, "230 User b logged in.")],
            [login("a", FAILURE, 1, 6, fault=REFUSED), login("b", SUCCESS, 3, 8)],
        ),
        (  # one refusal of two, no password wanted
            [line(C, "USER a"), secret(), line(S, "530 No."), line(S, BAD), line(C, "USER b"),
             line(S, "230 User b logged in.")],
            [login("a", FAILURE, 1, 3, fault="530"), login("b", SUCCESS, 5, 6)],
        ),
        (taken(TICKET), [login("", SUCCESS, 1, 4, ticket=TICKET)]),
        (
            [*asked(TICKET.upper()), line(S, f"530 Login incorrect for {TICKET.upper()}.")],
            [login("", FAILURE, 1, 4, ticket=TICKET.upper(), fault=REFUSED)],
        ),
        ([line(C, "HELP"), line(S, EARLY), line(C, f"CONNECT {VMX} mks"), line(S, EARLY)], []),
        ([secret(), line(S, "503 Login with USER first.")], []),
        ([line(S, "220-first"), line(S, "220 second"), *taken("a")], [login("a", SUCCESS, 3, 6)]),
    ],
)  # fmt: skip
def test_logins(steps: list[Step], expected: list[Message]) -> None:
    assert tell(authd(), steps) == expected
    greeted = tell(authd(), [line(S, PLAIN), *steps])
    assert [_shape(each) for each in greeted] == [_shape(each) for each in expected]


def _shape(message: Message) -> tuple[str, ...]:
    assert isinstance(message, Login)
    return message.user, message.ticket, message.outcome, message.method, message.fault


@pytest.mark.parametrize(
    ("answer", "outcome", "fault"),
    [
        ([line(C, "THUMBPRINT_SHA2 PlainText"), line(S, "200 AA:BB")], UNKNOWN, ""),
        (
            [
                line(C, "THUMBPRINT PlainText"),
                line(S, "200 AA:BB"),
                line(C, "PROXY vpxa-nfc"),
                line(S, EARLY),
            ],
            FAILURE,
            REFUSED,
        ),
        ([line(C, "THUMBPRINT x"), line(S, BAD)], FAILURE, REFUSED),
        ([line(S, BAD)], FAILURE, REFUSED),
        ([line(C, "PROXY vpxa-nfc"), line(S, EARLY)], FAILURE, REFUSED),
        ([line(C, "BANNER "), line(S, ESX)], UNKNOWN, ""),  # proves nothing
        ([line(C, "THUMBPRINT_SHA2 x"), line(S, "501 Invalid arguments")], UNKNOWN, ""),
        ([], UNKNOWN, ""),
    ],
)
def test_a_ticket_is_judged_by_the_next_answer(
    answer: list[Step], outcome: Outcome, fault: str
) -> None:
    steps = [line(C, f"SESSION {TICKET}"), *answer]
    end = len(steps) + (outcome is UNKNOWN)
    expected = login("", outcome, 1, end, fault=fault, ticket=TICKET, operation="SESSION")
    assert tell(authd(), steps) == [expected]


def test_a_ticket_after_another() -> None:
    steps = [line(C, f"SESSION {TICKET}"), line(C, "SESSION other"), line(S, BAD)]
    assert tell(authd(), steps) == [
        login("", UNKNOWN, 1, 2, ticket=TICKET, operation="SESSION"),
        login("", FAILURE, 2, 3, fault=REFUSED, ticket="other", operation="SESSION"),
    ]


def test_a_ticket_cut_is_no_join_key() -> None:
    (said,) = tell(authd(), [line(C, f"SESSION {TICKET[:20]}", FramedFlag.CUT)])
    assert isinstance(said, Login)
    assert (said.ticket, said.method, said.outcome) == ("", LoginMethod.TICKET, UNKNOWN)


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        (ESX, "1.10"),
        (BANNER + "MKSDisplayProtocol:VNC , VMXARGS supported, NFCSSL supported", "1.10"),
        (BANNER + "nfcssl supported/t,, vmxargs supported , ", "1.10"),
        (BANNER + "MKSDisplayProtocol:VNC , , NFCSSL supported/t,", ""),  # Workstation
        (BANNER + "MKSDisplayProtocol:VNC , VMXARGS supported", ""),  # VMware Server 2
        (PLAIN, ""),
        ("220 ftp.example", ""),
    ],
)
def test_a_banner_proves_a_host_or_nothing(banner: str, version: str) -> None:
    said = tell(authd(), [line(S, banner), line(S, banner)])
    seen = ServerSeen(
        time_ns=at(1), end_ns=at(1), service="ESX", product="vmware-authd", version=version
    )
    assert said == ([seen] if version else [])


def test_a_console_is_opened_and_left() -> None:
    steps = [
        *taken("root"),
        line(C, f"CONNECT {VMX} mks"),
        line(S, f"200 Connect {VMX}"),
        Sealed(2, True),
        bulk(S, 5000, Framing.CONSOLE),
        bulk(C, 70, Framing.CONSOLE),
        bulk(S, 1, Framing.CONSOLE),
    ]
    opened = Call(
        time_ns=at(5),
        end_ns=at(6),
        token=SESSION,
        api="authd",
        operation="CONNECT",
        operation_class=OperationClass.CONSOLE,
        target=Target("VirtualMachine", name="web01"),
        related=(Target("DatastoreFile", name=VMX),),
        outcome=SUCCESS,
        details=(("service", "mks"),),
    )
    moved = Moved(
        time_ns=at(5),
        end_ns=at(11),
        token=SESSION,
        call_ns=at(5),
        to_server_bytes=70,
        to_client_bytes=5001,
    )
    assert tell(authd(), steps) == [login("root", SUCCESS, 1, 4), opened, moved]


def proxy(service: str, outcome: Outcome, begin: int, end: int, ticket: str = "") -> Call:
    return Call(
        time_ns=at(begin),
        end_ns=at(end),
        token=SESSION,
        api="authd",
        operation="PROXY",
        operation_class=OperationClass.DISK if "nfc" in service else OperationClass.READ,
        outcome=outcome,
        fault="530" if outcome is FAILURE else "",
        ticket=hasher(ticket) if ticket else "",
        details=(("service", service),),
    )


def test_a_sealed_disk_is_known_by_what_opened_it() -> None:
    lines = [
        line(S, ESX),
        line(C, f"SESSION {TICKET}"),
        line(C, "PROXY vpxa-nfcssl"),
        line(S, "200 Connect ha-nfcssl"),
    ]
    steps: list[Step] = [*lines, Sealed(2, False), Sealed(2, False)]
    sizes = [0, 0]
    for each in lines:
        sizes[each.direction] += each.framed.size_bytes
    said = tell(authd(), steps, (sizes[0] + 900, sizes[1] + 80_000))
    assert said[1:] == [
        login("", SUCCESS, 2, 4, ticket=TICKET, operation="SESSION"),
        proxy("vpxa-nfcssl", SUCCESS, 3, 4, TICKET),
        Moved(
            time_ns=at(3),
            end_ns=at(7),
            token=SESSION,
            call_ns=at(3),
            to_server_bytes=900,
            to_client_bytes=80_000,
        ),
    ]


def test_refused_and_unanswered_services() -> None:
    steps = [
        *taken("root"),
        line(C, "PROXY vpxa-nfc"),
        line(S, "530 Not yours."),
        line(C, "PROXY hostd"),
    ]
    assert tell(authd(), steps)[1:] == [
        proxy("vpxa-nfc", FAILURE, 5, 6),
        proxy("hostd", UNKNOWN, 7, 8),
    ]


def test_an_opened_disk_takes_the_bytes() -> None:
    """NFC tells what moved for its disk; the service that led to it does not repeat it."""
    steps = [
        line(C, f"SESSION {TICKET}"),
        line(C, "PROXY ha-nfc"),
        line(S, "200 Connect ha-nfc"),
        classic(C, 43, b"PlainText"),
        open_file(0, "[ds] web01/web01.vmdk", 0x1E),
        opened_file(0, 77),
        bulk(S, 65536),
    ]
    said = tell(authd(), steps)
    assert [type(each).__name__ for each in said] == ["Login", "Call", "Call", "Moved"]
    disk, moved = said[2:]
    assert isinstance(disk, Call) and isinstance(moved, Moved)
    assert disk.target == Target("VirtualDisk", name="[ds] web01/web01.vmdk")
    assert (disk.token, moved.call_ns) == (SESSION, disk.time_ns)
    assert (moved.to_server_bytes, moved.to_client_bytes) == (0, 65536)


def test_vix_follows_a_connect() -> None:
    machines: list[Machine] = []

    def made(target: Target) -> StreamDecoder:
        machines.append(Machine(target))
        return machines[-1]

    vix = Said(C, Framed(Framing.VIX, 0, 0, 51, 0, b"request"))
    steps = [*taken("root"), line(C, f"CONNECT {VMX} vix"), line(S, "200 Connect x"), vix]
    steps += [Lost(S, 9), bulk(S, 10, Framing.VIX), Sealed(2, True)]
    tell(Authd(hasher, SESSION, made), steps)
    (machine,) = machines
    target = Target("VirtualMachine", name="web01")
    assert machine.told == [target, (C, b"request"), 9, True, "closed"]


def test_a_gap_leaves_outcomes_unknown() -> None:
    steps = [*asked("root"), Lost(S, 30), line(C, "USER bob"), line(S, "331 ?"), secret()]
    said = tell(authd(), [*steps, line(S, "230 User bob logged in.")])
    assert said == [login("root", UNKNOWN, 1, 4), login("bob", SUCCESS, 5, 8)]


@pytest.mark.parametrize(
    "steps",
    [
        [line(S, "SSH-2.0-OpenSSH")],
        [line(S, "")],
        [line(C, "HELP")] * (PENDING_MAX + 1),
        [Said(C, Framed(Framing.NFC, 0, 0, 4, 0, b"\x01\0\0\0"))],
    ],
)
def test_broken_dialogs(steps: list[Said]) -> None:
    with pytest.raises(DecodeError):
        tell(authd(), steps)


WORDS = [
    *taken("root"), *taken(TICKET), line(C, f"SESSION {TICKET}"), line(C, "BANNER "),
    line(S, ESX), line(S, BAD), line(S, "200 Connect ha-nfc"), line(C, "PROXY vpxa-nfc"),
    line(C, f"CONNECT {VMX} mks"), open_file(1, "[d] a", 0x1A), opened_file(1, 2), aio(S, 1, 1),
    Lost(C, 1), Lost(S, 1), Sealed(1, False), Sealed(2, False), Sealed(2, True), bulk(S, 10),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(300))
def test_no_order_of_words_breaks_it_or_tells_a_ticket(seed: int) -> None:
    choice = random.Random(seed)
    said = only_decode_errors(authd(), choice.choices(WORDS, k=30))
    assert TICKET not in said
