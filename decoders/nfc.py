"""Network file copy after authd handed a connection over: who opens which disk, and to do what.

PROTOCOLS section 3. Classic messages are 264 bytes and what they name; after both sides agreed to
it, asynchronous frames (AIO) follow. Sources conflict on names of classic messages, so they are
read by number: 33 without names is no copy but a parameter exchange. Bulk data is counted only.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import unpack_from

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
from decoders.nfc_wire import (
    AIO,
    CLASSIC_BYTES,
    CONNECTION,
    DISK,
    ERROR,
    FILE,
    GET,
    NAMES,
    NAMES_MAX,
    OPEN_DISK,
    OPEN_FILE,
    PUT,
    STATUS,
    Aio,
    Classic,
    Names,
    file_type_of,
    named,
    text_of,
    texts_of,
)

API = "nfc"
PENDING_MAX = 64  # requests without their reply
OPEN_MAX = 64  # a client opens a connection per disk

_READ_ONLY = 4  # of the flags 0x1e and 0x1a that were seen; VixDiskLib's public flag is the same


@dataclass(slots=True)
class _Asked:
    """A request, until its reply comes."""

    number: int  # Classic, or Aio
    operation: str
    start_ns: int
    names: Names
    details: tuple[tuple[str, str], ...]
    sent: int  # bytes that the client had sent by then


@dataclass(slots=True)
class _Opened:
    """Bulk is told before its direction's next message: each direction has its own end."""

    call_ns: int
    begin: tuple[int, int]  # bytes that had gone each way
    end: list[int]  # -1: not known yet


_FILE_OPERATIONS = {
    Classic.FILE_DELETE: "NfcFileDelete",
    Classic.FILE_RENAME: "NfcFileRename",
    Classic.FILE_COPY: "NfcFileCopy",
    Classic.FILE_CREATEDIR: "NfcFileCreateDir",
}
# A server answers FILE_GET with a FILE_PUT of its own, then the data.
_BEGINS = {Classic.FILE_PUT: Classic.FILE_GET, Classic.FSSRVR_DISKGEO: Classic.FSSRVR_OPEN}
_UNKNOWN_HANDLES = -2  # and below: of disks whose reply was missed
_TRANSFER = -1  # key of what a classic message opened, of which there is one at a time


class Nfc:
    """One connection; its calls belong to `session`."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._pending: deque[_Asked] = deque()  # classic ones are answered in order
        self._asked: dict[int, _Asked] = {}  # AIO: by operation id
        self._opened: dict[int, _Opened] = {}  # by handle
        self._closing: list[_Opened] = []  # over, as one direction says
        self._moved = [0, 0]  # by direction
        self._before = 0  # of the message at hand's direction, without it
        self._client: tuple[tuple[str, str], ...] = ()
        self._is_ending = False  # the client has said that it is done
        self.has_opened = False  # anything at all: its bytes are then told with that

    def message(self, direction: Direction, framed: Framed, time_ns: int) -> list[Message]:
        self._before = self._moved[direction]
        self._moved[direction] += framed.size_bytes
        if framed.flags & FramedFlag.BULK:
            return []
        said = self._settle(direction, time_ns) if self._closing else []
        if framed.protocol == Framing.NFC_AIO:
            return said + self._aio(direction, framed, time_ns)
        if len(framed.data) < CLASSIC_BYTES:
            if framed.flags & FramedFlag.CUT:
                return said
            raise DecodeError("short of a classic message")
        (number,) = unpack_from("<I", framed.data)
        step = _STEPS.get((direction, number))
        return said + step(self, framed, time_ns) if step is not None else said

    def gap(self, direction: Direction, size_bytes: int, time_ns: int) -> list[Message]:
        """What was missed is most likely bulk data; the replies may be among it."""
        self._moved[direction] += size_bytes
        return self._give_up(time_ns)

    def close(self, time_ns: int) -> list[Message]:
        said = self._give_up(time_ns)
        self._closing += self._opened.values()
        self._opened.clear()
        self._before = self._moved[Direction.TO_SERVER]
        said += self._settle(Direction.TO_SERVER, time_ns)
        self._before = self._moved[Direction.TO_CLIENT]
        return said + self._settle(Direction.TO_CLIENT, time_ns)

    def _aio(self, direction: Direction, framed: Framed, time_ns: int) -> list[Message]:
        data = framed.data
        if len(data) < AIO.size:
            raise DecodeError("short of an AIO header")
        number, length, operation_id = AIO.unpack_from(data)
        payload = data[AIO.size : AIO.size + length]
        if direction == Direction.TO_CLIENT:
            return self._aio_reply(number, operation_id, payload, time_ns)
        if number == Aio.OPEN_FILE:
            return self._open_file(framed, operation_id, length, time_ns)
        if number == Aio.CLOSE_FILE and len(payload) >= 8:
            (handle,) = unpack_from("<Q", payload)
            self._end(handle, Direction.TO_SERVER)
        if number == Aio.CLOSE_SESSION:
            self._is_ending = True
        return []

    def _open_file(
        self, framed: Framed, operation_id: int, length: int, time_ns: int
    ) -> list[Message]:
        if length < OPEN_FILE.size or len(framed.data) < AIO.size + OPEN_FILE.size:
            raise DecodeError("short of an OPEN_FILE")
        path_length, file_type, flags = OPEN_FILE.unpack_from(framed.data, AIO.size)
        path = text_of(framed, AIO.size + length, path_length)
        asked = self._ask(Aio.OPEN_FILE, "NfcOpenFile", framed, named(file_type, path))
        asked.details = (
            ("intent", "read" if flags & _READ_ONLY else "write"),
            *file_type_of(file_type),
            *self._client,
        )
        said = []
        if len(self._asked) >= PENDING_MAX:
            said = self._tell(self._asked.pop(next(iter(self._asked))), Outcome.UNKNOWN, time_ns)
        self._asked[operation_id] = asked
        return said

    def _aio_reply(
        self, number: int, operation_id: int, payload: bytes, time_ns: int
    ) -> list[Message]:
        asked = self._asked.pop(operation_id, None)
        if asked is None:
            return []
        if number == Aio.ERROR:  # unverified: how its payload is laid out
            return self._tell(asked, Outcome.FAILURE, time_ns, "NfcAioError")
        if number != asked.number or len(payload) < 16:
            return self._tell(asked, Outcome.UNKNOWN, time_ns)
        (handle,) = unpack_from("<Q", payload, 8)
        self._open(handle, asked)
        return self._tell(asked, Outcome.SUCCESS, time_ns)

    def _connection(self, framed: Framed, time_ns: int) -> list[Message]:
        del time_ns
        name_length, id_length = CONNECTION.unpack_from(framed.data)
        name = text_of(framed, CLASSIC_BYTES, name_length)
        operation_id = text_of(framed, CLASSIC_BYTES + name_length, id_length)
        said = (("client", name), ("client_op_id", operation_id))
        self._client = tuple((key, value) for key, value in said if value)
        return []

    def _put(self, framed: Framed, time_ns: int) -> list[Message]:
        file_type, _flags, length, _size, _space, parent, device = PUT.unpack_from(framed.data)
        path = text_of(framed, CLASSIC_BYTES, length)
        # Newer senders only; older ones leave zeros there.
        related = []
        at = CLASSIC_BYTES + length
        for each in (parent, device):
            if each:
                related.append(Target(FILE, name=text_of(framed, at, each)))
            at += each
        names = named(file_type, path)._replace(related=tuple(related))
        asked = self._ask(Classic.FILE_PUT, "NfcFilePut", framed, names)
        asked.details = (("intent", "write"), *file_type_of(file_type), *self._client)
        return self._begin_transfer(asked, time_ns)

    def _get(self, framed: Framed, time_ns: int) -> list[Message]:
        file_type, length, _flags = GET.unpack_from(framed.data)
        names = named(file_type, text_of(framed, CLASSIC_BYTES, length))
        asked = self._ask(Classic.FILE_GET, "NfcFileGet", framed, names)
        asked.details = (("intent", "read"), *file_type_of(file_type), *self._client)
        return self._begin_transfer(asked, time_ns)

    def _open_disk(self, framed: Framed, time_ns: int) -> list[Message]:
        """Unverified: that the flags are those of AIO; a client was seen to send 0x0a."""
        length, flags = OPEN_DISK.unpack_from(framed.data)
        names = Names(Target(DISK, name=text_of(framed, CLASSIC_BYTES, length)))
        asked = self._ask(Classic.FSSRVR_OPEN, "NfcOpenDisk", framed, names)
        intent = "read" if flags & _READ_ONLY else "write"
        asked.details = (("intent", intent), *self._client)
        return self._begin_transfer(asked, time_ns)

    def _file_operation(self, framed: Framed, time_ns: int) -> list[Message]:
        number, length, _flags, count = (
            *unpack_from("<I", framed.data),
            *NAMES.unpack_from(framed.data),
        )
        names = texts_of(framed, CLASSIC_BYTES, length, NAMES_MAX)
        asked = self._ask(number, _FILE_OPERATIONS[Classic(number)], framed, names)
        asked.details = (("intent", "write"), ("names", str(count)), *self._client)
        return self._wait(asked, time_ns)

    def _status(self, framed: Framed, time_ns: int) -> list[Message]:
        errors, _data, failed, _succeeded = STATUS.unpack_from(framed.data)
        if not self._pending or self._pending[0].number not in _FILE_OPERATIONS:
            return []
        asked = self._pending.popleft()
        if not errors and not failed:
            return self._tell(asked, Outcome.SUCCESS, time_ns)
        asked.details += (("failed", str(failed)),)
        return self._tell(asked, Outcome.FAILURE, time_ns, "NfcFileOpFailed")

    def _begun(self, framed: Framed, time_ns: int) -> list[Message]:
        (number,) = unpack_from("<I", framed.data)
        return self._accepted(_BEGINS[number], time_ns)

    def _accepted(self, number: int, time_ns: int) -> list[Message]:
        if not self._pending or self._pending[0].number != number:
            return []
        asked = self._pending.popleft()
        self._open(_TRANSFER, asked)
        return self._tell(asked, Outcome.SUCCESS, time_ns)

    def _put_done(self, framed: Framed, time_ns: int) -> list[Message]:
        said = self._accepted(Classic.FILE_PUT, time_ns)
        return said + self._end_transfer(framed, time_ns)

    def _failed(self, framed: Framed, time_ns: int) -> list[Message]:
        kind, code, _length = ERROR.unpack_from(framed.data)
        if not self._pending:
            return []
        return self._tell(
            self._pending.popleft(), Outcome.FAILURE, time_ns, f"NfcError {kind}/{code}"
        )

    def _finish(self, framed: Framed, time_ns: int) -> list[Message]:
        del framed, time_ns
        self._is_ending = True
        self._end(_TRANSFER, Direction.TO_SERVER)
        return []

    def _finished(self, framed: Framed, time_ns: int) -> list[Message]:
        """A server that ends the session unasked refuses what it was asked for."""
        outcome = Outcome.UNKNOWN if self._is_ending else Outcome.FAILURE
        fault = "" if self._is_ending else "NfcSessionComplete"
        said: list[Message] = []
        while self._pending:
            said += self._tell(self._pending.popleft(), outcome, time_ns, fault)
        return said + self._end_transfer(framed, time_ns)

    def _end_transfer(self, framed: Framed, time_ns: int) -> list[Message]:
        del framed, time_ns
        self._end(_TRANSFER, Direction.TO_CLIENT)
        return []

    def _close_disk(self, framed: Framed, time_ns: int) -> list[Message]:
        del framed, time_ns
        self._end(_TRANSFER, Direction.TO_SERVER)
        return []

    def _ask(self, number: int, operation: str, framed: Framed, names: Names) -> _Asked:
        sent = self._moved[Direction.TO_SERVER]
        return _Asked(number, operation, framed.start_ns, names, (), sent)

    def _begin_transfer(self, asked: _Asked, time_ns: int) -> list[Message]:
        """The one before is over, whether or not that was said."""
        self._end(_TRANSFER, Direction.TO_SERVER)
        return self._wait(asked, time_ns)

    def _wait(self, asked: _Asked, time_ns: int) -> list[Message]:
        self._pending.append(asked)
        if len(self._pending) <= PENDING_MAX:
            return []
        return self._tell(self._pending.popleft(), Outcome.UNKNOWN, time_ns)

    def _tell(
        self, asked: _Asked, outcome: Outcome, time_ns: int, fault: str = ""
    ) -> list[Message]:
        if not asked.names.target.name:  # the parameter exchange, or nothing readable
            return []
        return [
            Call(
                time_ns=asked.start_ns,
                end_ns=time_ns,
                token=self._session,
                api=API,
                operation=asked.operation,
                operation_class=OperationClass.DISK,
                target=asked.names.target,
                related=asked.names.related,
                outcome=outcome,
                fault=fault,
                details=asked.details,
            )
        ]

    def _open(self, handle: int, asked: _Asked) -> None:
        self._end(handle, Direction.TO_CLIENT)
        if len(self._opened) >= OPEN_MAX:
            self._end(next(iter(self._opened)), Direction.TO_CLIENT)
        self.has_opened = True
        begin = (asked.sent, self._moved[Direction.TO_CLIENT])
        self._opened[handle] = _Opened(asked.start_ns, begin, [-1, -1])

    def _end(self, handle: int, direction: Direction) -> None:
        """The message at hand says so."""
        opened = self._opened.pop(handle, None)
        if opened is not None:
            opened.end[direction] = self._before
            self._closing.append(opened)

    def _settle(self, direction: Direction, time_ns: int) -> list[Message]:
        """What the direction had to tell of what is over, it has told.

        The bytes are those of the whole connection meanwhile: bulk data does not name its disk.
        """
        for opened in self._closing:
            if opened.end[direction] < 0:
                opened.end[direction] = self._before
        settled = [opened for opened in self._closing if -1 not in opened.end]
        self._closing = [opened for opened in self._closing if -1 in opened.end]
        return [
            Moved(
                time_ns=opened.call_ns,
                end_ns=time_ns,
                token=self._session,
                call_ns=opened.call_ns,
                to_server_bytes=max(0, opened.end[0] - opened.begin[0]),
                to_client_bytes=max(0, opened.end[1] - opened.begin[1]),
            )
            for opened in settled
        ]

    def _give_up(self, time_ns: int) -> list[Message]:
        """Outcomes stay unknown; what may have been opened is, until the connection ends."""
        said: list[Message] = []
        for asked in self._pending:
            said += self._tell(asked, Outcome.UNKNOWN, time_ns)
            if asked.number not in _FILE_OPERATIONS:
                self._open(_TRANSFER, asked)
        for operation_id, asked in self._asked.items():
            said += self._tell(asked, Outcome.UNKNOWN, time_ns)
            self._open(_UNKNOWN_HANDLES - operation_id, asked)
        self._pending.clear()
        self._asked.clear()
        return said


_CLIENT, _SERVER = Direction.TO_SERVER, Direction.TO_CLIENT
# (direction, number) -> what it says; other messages only count.
_STEPS: dict[tuple[Direction, int], Callable[[Nfc, Framed, int], list[Message]]] = {
    (_CLIENT, Classic.CONNECTION_DATA): Nfc._connection,
    (_CLIENT, Classic.FILE_PUT): Nfc._put,
    (_CLIENT, Classic.FILE_GET): Nfc._get,
    (_CLIENT, Classic.FSSRVR_OPEN): Nfc._open_disk,
    (_CLIENT, Classic.FSSRVR_CLOSE): Nfc._close_disk,
    (_CLIENT, Classic.FILE_DELETE): Nfc._file_operation,
    (_CLIENT, Classic.FILE_RENAME): Nfc._file_operation,
    (_CLIENT, Classic.FILE_COPY): Nfc._file_operation,
    (_CLIENT, Classic.FILE_CREATEDIR): Nfc._file_operation,
    (_CLIENT, Classic.SESSION_COMPLETE): Nfc._finish,
    (_SERVER, Classic.FILE_PUT): Nfc._begun,
    (_SERVER, Classic.FSSRVR_DISKGEO): Nfc._begun,
    (_SERVER, Classic.PUTFILE_DONE): Nfc._put_done,
    (_SERVER, Classic.FILEOP_STATUS): Nfc._status,
    (_SERVER, Classic.FILE_COMPLETE): Nfc._end_transfer,
    (_SERVER, Classic.SESSION_COMPLETE): Nfc._finished,
    (_SERVER, Classic.ERROR): Nfc._failed,
}
