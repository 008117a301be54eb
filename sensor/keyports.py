"""Key log lines that are sent: through a FIFO, a unix datagram socket, or UDP on loopback.

Who sends them serves others: he never waits for us. Where the core has no room, lines are shed and
counted.
"""

import errno
import os
import socket
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from sensor.keybuffer import BUFFER_BYTES, Lines, Take, Tally
from sensor.settings import split_listen

# A proxy writes several lines as one text: HAProxy's log-format has no line ends.
SEPARATOR, LINE_END = ord("|"), ord("\n")
TURN_READS = 64  # then it is another input's turn
RECEIVE_BYTES = 1024 * 1024  # a burst of handshakes while we sleep; the kernel grants what it may
PORT_MODE = 0o660  # the owner and his group may send
_SO_RXQ_OVFL = 40  # asm-generic/socket.h: how many datagrams the full queue turned away so far
_COUNT_BYTES = 4


class _Port(ABC):
    """What FIFO and sockets have in common."""

    kind = ""

    def __init__(self, name: str, take: Take) -> None:
        self.name = name
        self.tally = Tally()
        self.problem = ""
        self._lines = Lines(take, self.tally)

    @abstractmethod
    def fileno(self) -> int: ...

    def poll(self) -> bool:
        """Hand over what has come; True when there may be more at once."""
        try:
            for _ in range(TURN_READS):
                if not self._read():
                    return False
        except BlockingIOError:
            return False
        except OSError as error:
            self.problem = error.strerror or str(error)
            self.tally.errors += 1
            return False
        return True

    @abstractmethod
    def _read(self) -> bool:
        """One read; False when there was nothing. Raises OSError."""

    def _shed(self) -> None:
        self.tally.shed_bytes += self._lines.drop()


class KeyFifo(_Port):
    kind = "fifo"

    def __init__(self, path: str, take: Take) -> None:
        """Made if it is not there. Raises OSError."""
        if not os.path.lexists(path):
            os.mkfifo(path)
            os.chmod(path, PORT_MODE)
        # A reader that does not wait for a writer; that writers come and go is no end.
        self._fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISFIFO(os.fstat(self._fifo).st_mode):
            os.close(self._fifo)
            raise OSError(errno.EEXIST, "is no FIFO")
        super().__init__(path, take)

    def fileno(self) -> int:
        return self._fifo

    def close(self) -> None:
        os.close(self._fifo)
        self._lines.close()

    def _read(self) -> bool:
        with self._lines.room() as room:
            count = os.readv(self._fifo, [room])
        self._lines.add(count)
        # The last writer has gone: what he left is all there will be of his line.
        if not (self._lines.flush() if count else self._lines.end()):
            self._shed()
        return count > 0


class _Socket(_Port):
    """Each datagram is whole: its last line may lack its end."""

    def __init__(self, receiver: socket.socket, name: str, take: Take) -> None:
        super().__init__(name, take)
        self._socket = receiver

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()
        self._lines.close()

    def _read(self) -> bool:
        with self._lines.room() as room:
            count, told, flags, _ = self._socket.recvmsg_into(
                [room], socket.CMSG_SPACE(_COUNT_BYTES), socket.MSG_TRUNC
            )
        for level, kind, value in told:
            if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                self.tally.dropped_datagrams = int.from_bytes(value, "little")
        if flags & socket.MSG_TRUNC:
            self.tally.cut_datagrams += 1
        self._lines.add(min(count, BUFFER_BYTES))
        self._lines.replace(SEPARATOR, LINE_END)
        if not self._lines.end():
            self._shed()
        return True


class KeyDatagrams(_Socket):
    kind = "unix"

    def __init__(self, path: str, take: Take) -> None:
        """Binds `path`, also where a socket was left behind by a dead process. Raises OSError."""
        with _made(socket.AF_UNIX) as receiver:
            _remove_left_behind(path)
            receiver.bind(path)
            os.chmod(path, PORT_MODE)
        super().__init__(receiver, path, take)
        self._identity = os.stat(path).st_ino

    def close(self) -> None:
        super().close()
        try:
            if os.stat(self.name).st_ino == self._identity:
                os.unlink(self.name)
        except OSError:
            pass  # removed by another, or no right to: the next start minds it


class KeyUdp(_Socket):
    kind = "udp"

    def __init__(self, listen: str, take: Take) -> None:
        """`listen` is a loopback address, as the settings have checked. Raises OSError."""
        host, port = split_listen(listen)
        with _made(socket.AF_INET6 if ":" in host else socket.AF_INET) as receiver:
            receiver.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            receiver.bind((host, port))
        address, bound = receiver.getsockname()[:2]
        super().__init__(
            receiver, f"[{address}]:{bound}" if ":" in host else f"{address}:{bound}", take
        )


@contextmanager
def _made(family: int) -> Iterator[socket.socket]:
    """A receiver of datagrams, closed again if what follows fails."""
    receiver = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        yield receiver
    except BaseException:
        receiver.close()
        raise


def _remove_left_behind(path: str) -> None:
    """A socket that nobody receives at. Raises OSError when it is in use, or something else."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EEXIST, "is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        if probe.connect_ex(path) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    os.unlink(path)
