"""Which TLS library a file has: looked at once, and not at too many in one turn."""

import time

from sensor.bpf import libraries
from sensor.bpf.elf import ElfError
from sensor.bpf.libraries import Library, Mode, Unsuited
from sensor.bpf.processes import CodeFile

LATE = "its processes have more files than there is time for: the rest is looked at later"
_LOOK_S_MAX = 0.25  # of this thread's time, that files not met before take in one turn
_FILES_MAX = 4096  # that are remembered


class Looking:
    def __init__(self, mode: Mode) -> None:
        self.late = False  # in this turn
        self._mode: Mode = mode
        self._known: dict[tuple[int, ...], Library | str | None] = {}
        self._spent_s = 0.0

    def begin(self) -> None:
        """A turn, which looks at one file at least."""
        self.late, self._spent_s = False, 0.0

    def has_time(self, file: CodeFile) -> bool:
        """Or is it known already?"""
        if file.identity not in self._known:
            self.late |= self._spent_s > _LOOK_S_MAX
            return not self.late
        return True

    def library(self, file: CodeFile) -> Library | str | None:
        """Or why it cannot be tapped; read once, however many processes use it. Raises OSError,
        which says nothing of the file: its process may just have ended.
        """
        if file.identity not in self._known:
            if len(self._known) == _FILES_MAX:
                self._known.clear()
            began_s = time.thread_time()
            try:
                self._known[file.identity] = find(file, file.name, self._mode)
            finally:
                self._spent_s += time.thread_time() - began_s
        return self._known[file.identity]


def find(file: CodeFile | str | int, name: str, mode: Mode) -> Library | str | None:
    """What the file has; or why it cannot be tapped, which begins with `name`. Raises OSError."""
    try:
        if not isinstance(file, CodeFile):
            return libraries.find(file, mode)
        with file.opened() as fd:
            return libraries.find(fd, mode)
    except (ElfError, Unsuited) as error:
        problem = str(error)
    return f"{name}: {problem}" if name else problem
