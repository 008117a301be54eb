"""One key log file, followed as it grows, is truncated and rotated; read whole in a replay."""

import errno
import os
import stat
import time
from collections.abc import Callable

from sensor.keybuffer import Lines, Take, Tally

# Whoever writes the log goes on with the renamed file until he is told to open the new one.
RETIRED_QUIET_S = 60.0
RETIRED_MAX = 4  # more rotations than that within a minute are a mistake
TURN_BYTES = 4 * 1024 * 1024  # then it is another input's turn

Clock = Callable[[], float]


class _File:
    """What the path names, or named before it was rotated."""

    def __init__(self, path: str, lines: Lines, tally: Tally, clock_s: Clock) -> None:
        # Without O_NONBLOCK the open itself would wait where the path names a FIFO.
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._file)
            raise OSError(errno.EINVAL, "is no file")
        self.identity = (status.st_dev, status.st_ino)
        self._lines = lines
        self._tally = tally
        self._clock_s = clock_s
        self._at = 0
        self.grown_s = clock_s()

    def read(self) -> bool:
        """Hand over what is new; True when there is more."""
        end = self._at + TURN_BYTES
        while self._at < end:
            if not self._lines.flush():
                return False
            with self._lines.room() as room:
                count = os.readv(self._file, [room])
            if not count:
                self._mind_truncation()
                return False
            self._at += count
            self._lines.add(count)
            self.grown_s = self._clock_s()
        return self._lines.flush()

    def _mind_truncation(self) -> None:
        """A file that ends before where we are was begun anew; an unfinished line stays so."""
        if os.fstat(self._file).st_size < self._at:
            os.lseek(self._file, 0, os.SEEK_SET)
            self._at = 0
            self._lines.drop()
            self._tally.truncations += 1

    def close(self) -> None:
        os.close(self._file)
        self._lines.close()


class KeyLog:
    """The file at `path`, also when that becomes another one. While it is not there, awaited."""

    kind = "file"

    def __init__(self, path: str, take: Take, *, clock_s: Clock = time.monotonic) -> None:
        self.name = path
        self.tally = Tally()
        self.problem = ""  # why it cannot be read now
        self._take = take
        self._clock_s = clock_s
        self._newest: _File | None = None
        self._retired: list[_File] = []  # the oldest first

    def poll(self) -> bool:
        """Hand over what is new; True when there is more at once."""
        more = False
        try:
            for file in (*self._retired, *filter(None, (self._newest,))):
                more |= file.read()
            self._mind_rotation()
            self.problem = ""
        except FileNotFoundError:
            self.problem = ""
        except OSError as error:
            self._fail(error)
        self._let_go()
        return more

    def close(self) -> None:
        for file in (*self._retired, *filter(None, (self._newest,))):
            file.close()
        self._retired, self._newest = [], None

    def _mind_rotation(self) -> None:
        status = os.stat(self.name)
        if self._newest is not None:
            if self._newest.identity == (status.st_dev, status.st_ino):
                return
            self._retired.append(self._newest)
            self._newest = None
            self.tally.rotations += 1
        lines = Lines(self._take, self.tally)
        try:
            self._newest = _File(self.name, lines, self.tally, self._clock_s)
        except OSError:
            lines.close()
            raise
        self._newest.read()

    def _fail(self, error: OSError) -> None:
        said = error.strerror or str(error)
        if said != self.problem:  # told once, not at every turn
            self.problem = said
            self.tally.errors += 1

    def _let_go(self) -> None:
        """Of rotated files that nobody writes any more."""
        quiet_s = self._clock_s() - RETIRED_QUIET_S
        for file in list(self._retired):
            if file.grown_s < quiet_s or len(self._retired) > RETIRED_MAX:
                self._retired.remove(file)
                file.close()


def read_whole(path: str, take: Take) -> Tally:
    """Everything that a file or pipe holds, to its end.

    Raises OSError, also when the core has no room for it.
    """
    tally = Tally()
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    lines = Lines(take, tally)
    try:
        while True:
            with lines.room() as room:
                count = os.readv(file, [room])
            lines.add(count)
            if not (lines.flush() if count else lines.end()):
                raise OSError(errno.ENOBUFS, "holds more keys than there is room for")
            if not count:
                return tally
    finally:
        os.close(file)
        lines.close()
