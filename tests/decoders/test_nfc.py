"""Disks and files of TCP 902: which, to read or to write, with what outcome, how many bytes."""

import random
import struct
from collections.abc import Sequence

import pytest

from decoders.authd import Authd
from decoders.decoder import StreamDecoder
from decoders.message import (
    Call,
    DecodeError,
    Direction,
    Framed,
    FramedFlag,
    Framing,
    Message,
    Moved,
    OperationClass,
    Outcome,
    Target,
)
from decoders.nfc import OPEN_MAX, PENDING_MAX
from tests.decoders.crafting import hasher
from tests.decoders.framed_crafting import (
    SESSION,
    C,
    Lost,
    S,
    Said,
    Step,
    aio,
    at,
    bulk,
    classic,
    close_file,
    only_decode_errors,
    open_file,
    opened_file,
    tell,
)
from tests.decoders.nfc_crafting import (
    connection,
    error,
    get,
    names,
    open_disk,
    put,
    put_of_server,
    status,
)

DISK = "[Local_DS_0] web01/web01.vmdk"
SUCCESS, FAILURE, UNKNOWN = Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNKNOWN


def nfc() -> StreamDecoder:
    """As it lives on a flow whose dialog was not read."""

    def no_vix(target: Target) -> StreamDecoder:
        raise AssertionError(f"no VIX here: {target}")

    return Authd(hasher, SESSION, no_vix)


def call(
    operation: str,
    path: str,
    outcome: Outcome,
    begin: int,
    end: int,
    *details: tuple[str, str],
    kind: str = "VirtualDisk",
    fault: str = "",
    related: Sequence[str] = (),
) -> Call:
    return Call(
        time_ns=at(begin),
        end_ns=at(end),
        token=SESSION,
        api="nfc",
        operation=operation,
        operation_class=OperationClass.DISK,
        target=Target(kind, name=path),
        related=tuple(Target("DatastoreFile", name=each) for each in related),
        outcome=outcome,
        fault=fault,
        details=details,
    )


def moved(begin: int, end: int, to_server: int, to_client: int) -> Moved:
    return Moved(
        time_ns=at(begin),
        end_ns=at(end),
        token=SESSION,
        call_ns=at(begin),
        to_server_bytes=to_server,
        to_client_bytes=to_client,
    )


READ, WRITE = ("intent", "read"), ("intent", "write")
TYPE = ("file_type", "disk")
VDDK = (("client", "vddk"), ("client_op_id", "nbdmode"))


def test_a_session_of_vddk() -> None:
    steps = [
        classic(C, 43, b"PlainText"),
        classic(C, 33),  # without names: no copy
        status(),
        classic(C, 51, struct.pack("<I", 11)),
        classic(S, 51, struct.pack("<I", 11)),
        connection("vddk", "nbdmode"),
        classic(C, 55, struct.pack("<I", 3)),
        classic(C, 52),
        classic(S, 52),
        aio(C, 2, 0, bytes(16)),
        aio(S, 2, 0, bytes(16)),
        open_file(1, DISK, 0x1E),
        opened_file(1, 77),
        aio(C, 7, 2, bytes(44)),
        bulk(S, 65536),
        aio(S, 7, 2, bytes(44)),
        bulk(S, 65536),  # told only before the server's next message
        *close_file(3, 77),
        aio(C, 3, 4, bytes(4)),
        classic(C, 4),
    ]
    assert tell(nfc(), steps) == [
        call("NfcOpenFile", DISK, SUCCESS, 12, 13, READ, TYPE, *VDDK),
        moved(12, 19, 60, 2 * 65536 + 60),
    ]


@pytest.mark.parametrize(
    ("flags", "intent"), [(0x1E, READ), (0x1A, WRITE), (0x04, READ), (0, WRITE)]
)
def test_intent(flags: int, intent: tuple[str, str]) -> None:
    said = tell(nfc(), [open_file(9, DISK, flags), opened_file(9, 1), *close_file(10, 1)])
    assert said == [
        call("NfcOpenFile", DISK, SUCCESS, 1, 2, intent, TYPE),
        moved(1, 4, 0, 0),
    ]


def test_disks_that_do_not_open() -> None:
    steps = [
        open_file(1, DISK, 0x1E),
        open_file(2, "[ds] b.vmdk", 0x1A),
        aio(S, 1, 2, bytes(8)),
        open_file(3, "[ds] c.vmdk", 0x1A),
        aio(S, 4, 3, bytes(4)),  # short
        aio(S, 4, 99, bytes(60)),  # of nobody
    ]
    assert tell(nfc(), steps) == [
        call("NfcOpenFile", "[ds] b.vmdk", FAILURE, 2, 3, WRITE, TYPE, fault="NfcAioError"),
        call("NfcOpenFile", "[ds] c.vmdk", UNKNOWN, 4, 5, WRITE, TYPE),
        call("NfcOpenFile", DISK, UNKNOWN, 1, 7, READ, TYPE),
        moved(1, 7, _later(steps, 1), 0),
    ]


def _later(steps: Sequence[Step], first: int) -> int:
    """Bytes that the client said after that step."""
    said = (each for each in steps[first:] if isinstance(each, Said))
    return sum(each.framed.size_bytes for each in said if each.direction == C)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            [put("[ds] a.iso"), bulk(C, 900, Framing.NFC), classic(S, 27), classic(C, 4)],
            [
                call(
                    "NfcFilePut", "[ds] a.iso", SUCCESS, 1, 3, WRITE, ("file_type", "raw"),
                    kind="DatastoreFile",
                ),
                moved(1, 4, 900, 0),
            ],
        ),
        (
            [put("[ds] b.vmdk", 3, "[ds] a.vmdk"), error(1, 39)],
            [
                call(
                    "NfcFilePut", "[ds] b.vmdk", FAILURE, 1, 2, WRITE, ("file_type", "delta_disk"),
                    fault="NfcError 1/39", related=["[ds] a.vmdk"],
                )
            ],
        ),
        (
            [put("[ds] r.vmdk", 6, "", "vmhba1:0")],
            [
                call(
                    "NfcFilePut", "[ds] r.vmdk", UNKNOWN, 1, 2, WRITE, ("file_type", "rdm_disk"),
                    related=["vmhba1:0"],
                ),
                moved(1, 2, 0, 0),
            ],
        ),
        (
            [put("[ds] x", 99), classic(S, 4)],  # the server ends it, unasked
            [
                call(
                    "NfcFilePut", "[ds] x", FAILURE, 1, 2, WRITE, kind="DatastoreFile",
                    fault="NfcSessionComplete",
                )
            ],
        ),
        (
            [get("[ds] a.log", 1), put_of_server(500), bulk(S, 500, Framing.NFC),
             get("[ds] b.vmdk", 2), put_of_server(70), bulk(S, 70, Framing.NFC),
             classic(C, 4), classic(S, 4)],
            [
                call(
                    "NfcFileGet", "[ds] a.log", SUCCESS, 1, 2, READ, ("file_type", "text"),
                    kind="DatastoreFile",
                ),
                moved(1, 5, 0, 500),
                call("NfcFileGet", "[ds] b.vmdk", SUCCESS, 4, 5, READ, TYPE),
                moved(4, 8, 0, 70),
            ],
        ),
        (
            [open_disk(DISK, 0x0A), classic(S, 22), bulk(C, 4096, Framing.NFC), classic(C, 24),
             classic(S, 24)],
            [call("NfcOpenDisk", DISK, SUCCESS, 1, 2, WRITE), moved(1, 5, 4096, 0)],
        ),
        (
            [open_disk(DISK, 0x0E), error(2, 5)],
            [call("NfcOpenDisk", DISK, FAILURE, 1, 2, READ, fault="NfcError 2/5")],
        ),
    ],
)  # fmt: skip
def test_transfers(steps: list[Step], expected: list[Message]) -> None:
    assert tell(nfc(), steps) == expected


@pytest.mark.parametrize(
    ("number", "operation", "paths"),
    [
        (31, "NfcFileDelete", ["[ds] a", "[ds] b"]),
        (32, "NfcFileRename", ["[ds] old", "[ds] new"]),
        (33, "NfcFileCopy", ["[ds] from", "[ds] to"]),
        (34, "NfcFileCreateDir", ["[ds] dir"]),
    ],
)
@pytest.mark.parametrize("failed", [0, 1])
def test_file_operations(number: int, operation: str, paths: list[str], failed: int) -> None:
    first, *rest = paths
    details = [WRITE, ("names", str(len(paths)))] + [("failed", "1")] * failed
    assert tell(nfc(), [names(number, *paths), status(failed)]) == [
        call(
            operation,
            first,
            FAILURE if failed else SUCCESS,
            1,
            2,
            *details,
            kind="DatastoreFile",
            fault="NfcFileOpFailed" if failed else "",
            related=rest,
        )
    ]


def test_replies_come_in_order() -> None:
    steps = [names(31, "a"), names(34, "b"), status(), status(1), status()]
    said = tell(nfc(), steps)
    outcomes = [(each.target.name, each.outcome) for each in said if isinstance(each, Call)]
    assert outcomes == [("a", SUCCESS), ("b", FAILURE)]


def test_a_gap_leaves_outcomes_unknown() -> None:
    steps: list[Step] = [open_file(1, DISK, 0x1A), Lost(S, 5000), opened_file(1, 7), bulk(C, 300)]
    assert tell(nfc(), steps) == [
        call("NfcOpenFile", DISK, UNKNOWN, 1, 2, WRITE, TYPE),
        moved(1, 5, 300, 76),
    ]


def test_what_is_open_or_pending_is_bounded() -> None:
    steps: list[Step] = []
    for number in range(OPEN_MAX + 3):
        steps += [open_file(number, f"[ds] {number}", 0x1E), opened_file(number, number)]
    assert len(tell(nfc(), steps)) == 2 * (OPEN_MAX + 3)
    many = [open_file(number, f"[ds] {number}", 0x1E) for number in range(PENDING_MAX + 3)]
    assert len(_calls(tell(nfc(), many))) == PENDING_MAX + 3
    many = [names(31, f"[ds] {number}") for number in range(PENDING_MAX + 3)]
    assert len(_calls(tell(nfc(), many))) == PENDING_MAX + 3


def _calls(said: list[Message]) -> list[Call]:
    return [each for each in said if isinstance(each, Call)]


@pytest.mark.parametrize("flags", [0, FramedFlag.CUT])
@pytest.mark.parametrize("whole", [put("[ds] a"), get("[ds] a"), open_file(1, "[ds] a", 4)])
def test_messages_that_were_cut(whole: Said, flags: int) -> None:
    """Lengths that lead beyond the end: broken, or what the core left out."""
    framed = whole.framed
    cut = Said(C, framed._replace(data=framed.data[:-3], flags=flags))
    if not flags:
        with pytest.raises(DecodeError):
            tell(nfc(), [cut])
        return
    (found,) = _calls(tell(nfc(), [cut]))
    assert "[ds] a".startswith(found.target.name) and found.target.name


@pytest.mark.parametrize(
    "data", [b"", b"\x01\0\0\0", bytes(263), struct.pack("<IIII", 0xA100DA7A, 4, 23, 1) + bytes(23)]
)
def test_short_messages(data: bytes) -> None:
    framing = Framing.NFC_AIO if data[1:2] == b"\xda" else Framing.NFC
    with pytest.raises(DecodeError):
        tell(nfc(), [Said(C, Framed(framing, 0, 0, len(data), 0, data))])


WHOLE = [
    put("[ds] a", 3, "[ds] p", "dev"), get("[ds] b"), put_of_server(3), open_disk(DISK, 4),
    status(),
    names(31, "a", "b"), names(32, "a", "b"), error(1, 2), connection("vddk", "x"), classic(S, 27),
    classic(C, 4), classic(S, 4), open_file(1, DISK, 4), opened_file(1, 5), *close_file(2, 5),
    aio(S, 1, 1), aio(C, 3, 9), bulk(C, 9), bulk(S, 9), Lost(C, 3), Lost(S, 3),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(300))
def test_mutations_break_nothing(seed: int) -> None:
    choice = random.Random(seed)
    only_decode_errors(nfc(), [_mutated(each, choice) for each in choice.choices(WHOLE, k=20)])


def _mutated(step: Step, choice: random.Random) -> Step:
    if not isinstance(step, Said) or choice.random() < 0.7:
        return step
    data = bytearray(step.framed.data)
    for _ in range(choice.randrange(4)):
        if data:
            data[choice.randrange(min(len(data), 60))] = choice.randrange(256)
    data = data[: choice.randrange(len(data) + 1)] if choice.random() < 0.2 else data
    direction = choice.choice([Direction.TO_SERVER, Direction.TO_CLIENT])
    return Said(direction, step.framed._replace(data=bytes(data)))
