"""One configured tap: which processes it traces, and what it lost.

tap = Tap(number=0, target="nginx", mode="plaintext")   # nothing happens yet
tap.open()                    # TapError says in one line what is missing
core.read(tap.ring_fd)        # BPF_MAP_TYPE_RINGBUF, of sensor/core/tap_event.h; the same ring
                              # for every tap of this process
tap.refresh()                 # each second: new processes, forks, restarts; never raises
tap.losses()                  # {"ring_events": 0, "ring_bytes": 0, ...}: each only rises
tap.close()                   # may be called twice; nothing is left in the kernel
"""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from sensor.bpf import files, processes
from sensor.bpf.admission import Admission, Names
from sensor.bpf.births import Births
from sensor.bpf.kernel import Probe
from sensor.bpf.libraries import Library, Mode
from sensor.bpf.looking import LATE, Looking, find
from sensor.bpf.processes import CodeFile, Process
from sensor.bpf.programs import Following, Programs, TapError, close_all

TAPS_MAX = 64  # of tap.bpf.h
_EVERY_PROCESS = -1
_SELECTIVE = 1 << 15  # of a cookie: tap.bpf.h
_NO_PROCESS = "there is no such process"
_NO_LIBRARY = "uses no TLS library that is known"
_PROBLEMS_MAX = 8  # that are told at once


@dataclass(slots=True)
class _Traced:
    """What is attached to a process; `links` are closed with it."""

    places: list[tuple[Library, CodeFile]] = field(default_factory=list)
    links: list[int] = field(default_factory=list)
    files: set[tuple[int, ...]] = field(default_factory=set)  # looked at, with a library or not
    problems: list[str] = field(default_factory=list)


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
        """Whose process it is: traced by two, its bytes would count twice."""
        first = self._claims.setdefault((process, tap.mode), tap)
        if first is tap:
            self._follow_forks(process.pid)
        return first

    def disclaim(self, tap: "Tap", process: Process) -> None:
        if self._claims.get((process, tap.mode)) is tap:
            del self._claims[process, tap.mode]
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
                f"tap {target}: a path traces every process that uses this file; "
                "name a process, or say machine_wide as well"
            )
        if not 0 <= number < TAPS_MAX:
            raise TapError(f"tap {target}: there can be {TAPS_MAX} taps")
        self.number, self.target, self.mode, self.machine_wide = number, target, mode, machine_wide
        self._lock = threading.Lock()
        self._programs: Programs | None = None
        self._traced: dict[Process, _Traced] = {}
        self._everywhere: dict[tuple[int, ...], list[int]] = {}
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
        return sorted(each.pid for each, traced in self._traced.items() if traced.places)

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
            self.refresh()
            if self._problem and "/" in self.target:
                raise TapError(f"tap {self.target}: {self._problem}")
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
            process = processes.process(child)
            if self._programs is None or traced is None or process is None:
                return
            if process not in self._traced and _shared.claim(self, process) is self:
                own = _Traced(files=set(traced.files))
                for library, file in traced.places:
                    self._probe(library, file.seen_by(child), child, own)
                self._traced[process] = own

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
            links = [link for traced in self._traced.values() for link in traced.links]
            links += [link for each in self._everywhere.values() for link in each]
            close_all(links)
            self._traced, self._everywhere, self._programs = {}, {}, None
        _shared.leave(self)

    def _opened(self) -> Programs:
        if self._programs is None:
            raise TapError(f"tap {self.target}: is not open")
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
            traced = self._traced.get(each)
            if traced is None:
                traced = self._traced[each] = _Traced()
                self._opened().watch(processes.name(each), following(self))
            other = _shared.claim(self, each)
            if other is self:
                self._trace(each, traced)
            else:
                problems.append(f"process {each.pid} is traced by tap {other.target} already")
            problems += traced.problems
        gone: list[int] = []
        for each in self._traced.keys() - wanted:
            gone += self._traced.pop(each).links
            _shared.disclaim(self, each)
        close_all(gone)
        objections = self._refuse()
        problems += [LATE] * self._looking.late
        if not wanted:
            self._watch_for()
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

    def _watch_for(self) -> None:
        if not self.target.isdecimal():
            self._opened().watch(self.target, following(self))

    def _trace(self, process: Process, traced: _Traced) -> None:
        try:
            found = processes.code_files(process)
        except OSError as error:
            if processes.process(process.pid) == process:
                traced.problems = [f"process {process.pid}: {error.strerror}"]
            return
        if len(found) == processes.FILES_MAX:
            problem = f"process {process.pid}: only {len(found)} of its files are looked at"
            traced.problems += [problem] if problem not in traced.problems else ()
        for file in found:
            if file.identity in traced.files:
                continue
            if not self._looking.has_time(file):
                return
            traced.files.add(file.identity)
            library = self._looking.library(file)
            if isinstance(library, Library):
                self._probe(library, file, process.pid, traced)
            elif library:
                traced.problems.append(library)

    def _probe(self, library: Library, file: CodeFile, pid: int, traced: _Traced) -> None:
        try:
            with file.opened() as fd:
                problem = "" if self.target.isdecimal() else self._names.objection(fd, file.name)
                if not problem and self.selective:
                    problem = self._trace_everywhere(library, fd)
                elif not problem:
                    links = self._attach(library, fd, pid)
                    problem = links if isinstance(links, str) else ""
                    traced.links += links if isinstance(links, list) else ()
        except OSError as error:
            problem = f"{file.name}: {error.strerror}"
        if problem:
            traced.problems.append(problem)
        else:
            traced.places.append((library, file))

    def _found(self) -> Iterator[Library | str | None]:
        if "/" in self.target:
            yield find(self.target, "", self.mode)
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
        """By path, so a file that was replaced is traced as well, from then on."""
        with files.opened(self.target) as fd:
            if files.identity(os.fstat(fd)) in self._everywhere:
                return []
            library = find(fd, "", self.mode)
            if not isinstance(library, Library):
                return [library or _NO_LIBRARY]
            problem = self._trace_everywhere(library, fd)
        return [problem] if problem else []

    def _trace_everywhere(self, library: Library, fd: int) -> str:
        """What is wrong with it. Raises OSError."""
        identity = files.identity(os.fstat(fd))
        if identity in self._everywhere:
            return ""
        links = self._attach(library, fd, _EVERY_PROCESS)
        if isinstance(links, str):
            return links
        self._everywhere[identity] = links
        return ""

    def _attach(self, library: Library, fd: int, pid: int) -> list[int] | str:
        """To all of its places in the open file, or why to none."""
        path = files.path_of(fd)
        groups: dict[tuple[str, bool], list[Probe]] = {}
        for place in library.places:
            parts = (library.state_at, library.random_at, library.server_at)
            cookie = self.number | place.does << 8 | (_SELECTIVE if self.selective else 0)
            cookie |= sum(part << 16 * number for number, part in enumerate(parts, 1))
            probes = groups.setdefault((place.program, place.returns), [])
            probes.append(Probe(place.offset, cookie))
        links: list[int] = []
        try:
            for (program, returns), probes in groups.items():
                links += self._opened().attach(program, path, probes, returns=returns, pid=pid)
        except OSError as error:
            close_all(links)
            return f"{library.name}: {error.strerror}"
        return links


def following(*taps: Tap) -> Following:
    waits = not all(each.selective for each in taps)
    return Following(frozenset(each.number for each in taps), waits)
