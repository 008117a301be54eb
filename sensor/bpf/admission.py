"""Which of the processes of a name a tap means. Anybody can give a program or process that name:
what such a one says is not to stand in records as if the named service had said it.
"""

import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from sensor.bpf import processes
from sensor.bpf.processes import PROC, Process

_ROOT = 0
_WARNINGS_MAX = 64  # of a tap
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

log = logging.getLogger("hoptap")


@dataclass(frozen=True, slots=True)
class Admission:
    exe: str = ""  # "": any program of that name
    uid: int | None = None  # who may own files beside root; if told, also the only one to run them
    any_owner: bool = False

    def means(self, process: Process) -> bool:
        """Raises OSError, when it has ended or may not be looked at."""
        if self.exe and _program(process) != self.exe:
            return False
        return self.uid is None or _run_by(process) <= {_ROOT, self.uid}

    def objection(self, process: Process, name: str) -> str:
        """Why it is not traced, or "". Raises OSError."""
        if self.any_owner:
            return ""
        program = _program(process)
        owners = {_ROOT} if self.uid is None else {_ROOT, self.uid}
        if os.path.basename(program) != name and not _run_by(process) <= owners:
            return f"not traced: {program} took the name {name}, and root does not run it"
        return self.objection_to_file(os.stat(f"{processes.living(process.pid)}/exe"), program)

    def objection_to_file(self, status: os.stat_result, path: str) -> str:
        """Why its code is not traced, or ""."""
        if self.any_owner:
            return ""
        if status.st_uid not in (_ROOT, self.uid):
            return f"not traced: {path} belongs to user {status.st_uid}"
        if status.st_mode & _OTHERS_WRITE or not stat.S_ISREG(status.st_mode):
            return f"not traced: {path} can be written to by others than its owner"
        return ""


class Names:
    """Processes of a name, as the admission has them."""

    def __init__(self, name: str, admission: Admission) -> None:
        self.refused: dict[Process, str] = {}  # when last looked, and why
        self._name, self._admission = name, admission
        self._warned: set[str] = set()

    def admitted(self) -> set[Process]:
        self.refused = {}
        admitted = set()
        for each in processes.named(self._name):
            try:
                if not self._admission.means(each):
                    continue
                objection = self._admission.objection(each, self._name)
            except PermissionError as error:
                objection = f"process {each.pid}: {error.strerror}"
            except OSError:
                continue  # it has ended
            if objection:
                self.refused[each] = objection
            else:
                admitted.add(each)
        return admitted

    def objection(self, fd: int, path: str) -> str:
        """To a library that one of them uses."""
        objection = self._admission.objection_to_file(os.fstat(fd), path)
        if objection:
            self.warn(objection)
        return objection

    def warn(self, objection: str) -> None:
        """Once: it is of a file."""
        if objection not in self._warned and len(self._warned) < _WARNINGS_MAX:
            self._warned.add(objection)
            log.warning("tap %s: %s", self._name, objection)


def _program(process: Process) -> str:
    return processes.program(process.pid)


def _run_by(process: Process) -> set[int]:
    """The real, effective and saved user, and that of its files."""
    text = Path(PROC, str(process.pid), "status").read_text(errors="replace")
    line = next(each for each in text.splitlines() if each.startswith("Uid:"))
    return {int(each) for each in line.split()[1:]}
