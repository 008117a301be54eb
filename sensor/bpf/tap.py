"""One configured tap: which processes it traces, and what it lost.

tap = Tap(number=0, target="nginx", mode="plaintext")   # nothing happens yet
tap.open()                    # TapError says in one line what is missing
core.read(tap.ring_fd)        # BPF_MAP_TYPE_RINGBUF, of sensor/core/tap_event.h; the same ring
                              # for every tap of this process
tap.refresh()                 # each second: new processes, forks, restarts; never raises
tap.losses()                  # {"ring_events": 0, "ring_bytes": 0, ...}: each only rises
tap.close()                   # may be called twice; nothing is left in the kernel
"""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from sensor.bpf import files, processes
from sensor.bpf.admission import Admission, Names
from sensor.bpf.births import Births
from sensor.bpf.libraries import Library, Mode
from sensor.bpf.looking import LATE, Looking, find
from sensor.bpf.probed import ProbedFiles, attach
from sensor.bpf.processes import CodeFile, Process
from sensor.bpf.programs import Programs, TapError, close_all
from sensor.bpf.watched import Following
from sensor.exits import Exit

TAPS_MAX = 64  # of tap.bpf.h
_EVERY_PROCESS = -1
_SELECTIVE = 1 << 15  # of a cookie: tap.bpf.h
_NO_PROCESS = "there is no such process"
_NO_LIBRARY = "uses no TLS library that is known"
_NO_FIRST_THREAD = "its first thread has ended, without which only machine_wide can trace it"
_REFUSALS = os.strerror(errno.EACCES), os.strerror(errno.EPERM)
_PROBLEMS_MAX = 8  # that are told at once


@dataclass(slots=True)
class _Traced:
    """What is attached to a process, closed with it."""

    probed: ProbedFiles = field(default_factory=ProbedFiles)
    unfit: dict[tuple[int, ...], str] = field(default_factory=dict)  # by file: why, or "": no TLS
    watched: bool = False


class _Shared:
    """What the taps of this process have in common: there by the first, gone with the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._programs: Programs | None = None
        self._births: Births | None = None
        self._taps: list[Tap] = []
        self._claims: dict[tuple[Process, Mode], Tap] = {}

    def enter(self, tap: "Tap") -> Programs:
        """Raises TapError."""
        with self._lock:
            if self._programs is None:
                self._programs = Programs()
                self._births = Births(self._programs.births_fd, self._follow, self._look)
            self._taps.append(tap)
            return self._programs

    def leave(self, tap: "Tap") -> None:
        with self._lock:
            self._taps.remove(tap)
            for process in [process for (process, _), each in self._claims.items() if each is tap]:
                self.disclaim(tap, process)
            if self._taps or self._programs is None or self._births is None:
                return
            programs, births = self._programs, self._births
            self._programs = self._births = None
        births.close()
        programs.close()

    def claim(self, tap: "Tap", process: Process) -> "Tap":
        """Whose process it is: traced by two, its bytes would count twice. Raises OSError."""
        first = self._claims.setdefault((process, tap.mode), tap)
        if first is tap:
            self._follow_forks(process.pid)
        return first

    def disclaim(self, tap: "Tap", process: Process) -> None:
        if self._claims.get((process, tap.mode)) is tap:
            del self._claims[process, tap.mode]
            with suppress(OSError):  # then forks are told of whom nobody takes
                self._follow_forks(process.pid)

    def _follow_forks(self, pid: int) -> None:
        """Of a process as long as a tap has it."""
        if self._programs is None:
            return
        taps = [self._claims[key] for key in tuple(self._claims) if key[0].pid == pid]
        if taps:
            self._programs.follow(pid, following(*taps))
        else:
            self._programs.leave(pid)

    def _follow(self, parent: int, child: int) -> None:
        for each in tuple(self._taps):
            each.follow(parent, child)

    def _look(self) -> None:
        for each in tuple(self._taps):
            each.refresh()


_shared = _Shared()


class Tap:
    def __init__(
        self,
        number: int,
        target: str,
        mode: Mode = "plaintext",
        machine_wide: bool = False,
        admission: Admission | None = None,
    ) -> None:
        """`target`: a process' name, a PID, or the path of a library or program.

        A path without a process traces whoever uses that file: only with `machine_wide`. A process
        with `machine_wide` has its libraries probed in whoever uses them, and nobody else's calls
        told: so its forks and restarts are traced from their first moment on. `admission`: of
        processes with the target's name those that are meant. Raises TapError.
        """
        if "/" in target and not machine_wide:
            raise TapError(
                f"tap {target}: a path traces every process that uses this file, "
                "which machine_wide is to allow"
            )
        if not 0 <= number < TAPS_MAX:
            raise TapError(f"tap {target}: there can be {TAPS_MAX} taps")
        self.number, self.target, self.mode, self.machine_wide = number, target, mode, machine_wide
        self._lock = threading.Lock()
        self._programs: Programs | None = None
        self._traced: dict[Process, _Traced] = {}
        self._everywhere = ProbedFiles()
        self._looking = Looking(mode)
        self._lost_before: dict[str, int] = {}
        self._began = ""  # of the process that a PID meant
        self._names = Names(target, admission or Admission())
        self._problem = ""

    @property
    def ring_fd(self) -> int:
        """After open(), until the last tap closes. Not to be closed by who reads it."""
        return self._opened().ring_fd

    @property
    def problem(self) -> str:
        """Why it sees nothing now, or less than it should; "" when all is well."""
        return self._problem

    @property
    def processes(self) -> list[int]:
        """Which are traced now; none are listed of a machine-wide tap."""
        return sorted(each.pid for each, traced in self._traced.items() if traced.probed)

    @property
    def selective(self) -> bool:
        """It probes whole files, and is told of its own processes only."""
        return self.machine_wide and "/" not in self.target

    def look(self) -> str:
        """What `problem` would say, without attaching anything."""
        found = [each for each in self._found() if each]
        if any(isinstance(each, Library) for each in found):
            return ""
        return "; ".join(dict.fromkeys(map(str, found))) or _NO_LIBRARY

    def open(self) -> None:
        """Raises TapError, when it could not work even if the process came."""
        self._programs = _shared.enter(self)
        try:
            self._lost_before = self._programs.losses(self.number)
            if self.mode == "plaintext":
                self._programs.find_sockets()
            if not self.target.isdecimal() and "/" not in self.target:
                self._watch(self.target, None)
            self.refresh()
            if self._problem and "/" in self.target:
                refused = any(map(self._problem.endswith, _REFUSALS))
                code = Exit.PERMISSION if refused else Exit.CONFIGURATION
                raise TapError(f"tap {self.target}: {self._problem}", code)
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Attaches to what has come, and detaches from what has gone."""
        with self._lock:
            if self._programs is not None:
                self._refresh()

    def follow(self, parent: int, child: int) -> None:
        """The child was just forked: it runs what its parent does."""
        with self._lock:
            traced = next((each for of, each in self._traced.items() if of.pid == parent), None)
            if self._programs is None or traced is None:
                return
            with suppress(OSError):  # what is left out the next look finds
                process = processes.process(child)
                if process and process not in self._traced and _shared.claim(self, process) is self:
                    own = self._traced[process] = _Traced(unfit=dict(traced.unfit))
                    for library, file in traced.probed.of_process():
                        self._probe(library, file.seen_by(child), child, own.probed)

    def losses(self) -> dict[str, int]:
        """Of this tap: by reason, `<reason>_events` and `<reason>_bytes`."""
        counts = self._opened().losses(self.number)
        return {name: count - self._lost_before[name] for name, count in counts.items()}

    def say_unsaid(self) -> None:
        """Of every tap of this process; refresh() does it as well. Raises OSError."""
        self._opened().say_unsaid()

    def close(self) -> None:
        with self._lock:
            if self._programs is None:
                return
            all_probed = [self._everywhere, *(each.probed for each in self._traced.values())]
            close_all([link for each in all_probed for link in each.links()])
            self._programs.watched.forget(self.number)
            self._traced, self._everywhere, self._programs = {}, ProbedFiles(), None
        _shared.leave(self)

    def _opened(self) -> Programs:
        if self._programs is None:
            raise TapError(f"tap {self.target}: is not open", Exit.INTERNAL)
        return self._programs

    def _refresh(self) -> None:
        self._looking.begin()
        try:
            self._opened().say_unsaid()
            problems = self._trace_file() if "/" in self.target else self._trace_processes()
        except OSError as error:
            problems = [str(error.strerror)]
        told = list(dict.fromkeys(problems))
        more = len(told) - _PROBLEMS_MAX
        self._problem = "; ".join(told[:_PROBLEMS_MAX] + [f"and {more} more"] * (more > 0))

    def _wanted(self) -> set[Process]:
        if not self.target.isdecimal():
            return self._names.admitted()
        first = processes.process(int(self.target))
        if first is None:
            return set()
        self._began = self._began or first.start[0]
        # The number may be another's by now.
        return set(processes.family(first.pid)) if first.start[0] == self._began else set()

    def _trace_processes(self) -> list[str]:
        """What is wrong with it."""
        wanted = self._wanted()
        problems = []
        for each in wanted:
            try:
                problems += self._trace(each, self._traced.setdefault(each, _Traced()))
            except OSError as error:
                problems.append(f"process {each.pid}: {error.strerror}")
        gone: list[int] = []
        for each in self._traced.keys() - wanted:
            gone += self._traced.pop(each).probed.links()
            _shared.disclaim(self, each)
            self._opened().watched.release(self.number, each)
        close_all(gone)
        objections = self._refuse()
        problems += [LATE] * self._looking.late
        if not wanted:
            problems += objections or [_NO_PROCESS]
        elif not self.processes and not problems:
            problems.append(_NO_LIBRARY)
        return problems

    def _refuse(self) -> list[str]:
        """Why those are not traced that took the name."""
        for each, objection in self._names.refused.items():
            self._names.warn(objection)
            if self.selective:  # what runs under the name may be traced since it was executed
                self._opened().leave(each.pid)
        return list(self._names.refused.values())

    def _trace(self, process: Process, traced: _Traced) -> list[str]:
        """What is wrong with it. Raises OSError."""
        if not traced.watched:
            self._watch(processes.name(process), process)
            traced.watched = True
        other = _shared.claim(self, process)
        if other is not self:
            return [f"process {process.pid} is traced by tap {other.target} already"]
        try:
            problems = list(self._trace_files(process, traced))
        except OSError as error:
            problems = [f"process {process.pid}: {error.strerror}"]
        return problems if problems and processes.process(process.pid) == process else []

    def _watch(self, name: str, holder: Process | None) -> None:
        self._opened().watched.hold(name, self.number, not self.selective, holder)

    def _trace_files(self, process: Process, traced: _Traced) -> Iterator[str]:
        """What is wrong with them. Raises OSError."""
        found = processes.code_files(process)
        if len(found) == processes.FILES_MAX:
            yield f"process {process.pid}: only {len(found)} of its files are looked at"
        for file in found:
            if traced.probed.has(file.identity):
                continue
            if file.identity not in traced.unfit:
                if not self._looking.has_time(file):
                    return
                problem = self._trace_code(file, process.pid, traced)
            else:
                problem = traced.unfit[file.identity]
            if problem:
                yield problem

    def _trace_code(self, file: CodeFile, pid: int, traced: _Traced) -> str:
        """What is wrong with it, now or, as it is `unfit`, for good."""
        try:
            library = self._looking.library(file)
            if isinstance(library, Library):
                return self._probe(library, file, pid, traced.probed)
        except OSError as error:
            return f"{file.name}: {error.strerror}"
        traced.probed.renew(file.identity, None)
        traced.unfit[file.identity] = library or ""
        return library or ""

    def _probe(self, library: Library, file: CodeFile, pid: int, probed: ProbedFiles) -> str:
        """What is wrong with it. Raises OSError."""
        with file.opened() as fd:
            problem = "" if self.target.isdecimal() else self._names.objection(fd, file.name)
            if problem:
                return problem
            if self.selective:
                self._trace_everywhere(library, fd)
            if not probed.renew(file.identity, library):
                links = [] if self.selective else self._attach(library, fd, pid)
                probed.add(file.identity, library, links, file)
        return ""

    def _found(self) -> Iterator[Library | str | None]:
        if "/" in self.target:
            try:
                yield find(self.target, "", self.mode)
            except OSError as error:
                yield error.strerror
            return
        wanted = self._wanted()
        if not wanted:
            yield from list(self._names.refused.values()) or [_NO_PROCESS]
        for each in wanted:
            try:
                yield from map(self._looking.library, processes.code_files(each))
            except OSError as error:
                yield f"process {each.pid}: {error.strerror}"

    def _trace_file(self) -> list[str]:
        """By path, so a file that was replaced is traced as well, from then on. Raises OSError."""
        with files.opened(self.target) as fd:
            identity = files.identity(os.fstat(fd))
            if self._everywhere.has(identity):
                return []
            library = find(fd, "", self.mode)
            if isinstance(library, Library):
                self._trace_everywhere(library, fd)
                return []
            self._everywhere.renew(identity, None)
            return [library or _NO_LIBRARY]

    def _trace_everywhere(self, library: Library, fd: int) -> None:
        """Raises OSError."""
        identity = files.identity(os.fstat(fd))
        if not self._everywhere.renew(identity, library):
            self._everywhere.add(identity, library, self._attach(library, fd, _EVERY_PROCESS))

    def _attach(self, library: Library, fd: int, pid: int) -> list[int]:
        """Raises OSError."""
        if pid != _EVERY_PROCESS and processes.has_lost_first_thread(pid):
            raise OSError(errno.ESRCH, _NO_FIRST_THREAD)
        told = self.number | (_SELECTIVE if self.selective else 0)
        return attach(self._opened(), library, fd, told, pid)


def following(*taps: Tap) -> Following:
    waits = not all(each.selective for each in taps)
    return Following(frozenset(each.number for each in taps), waits)
