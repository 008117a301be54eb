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
from typing import Literal

from sensor.bpf import libraries, processes
from sensor.bpf.births import Births
from sensor.bpf.elf import ElfError
from sensor.bpf.kernel import Probe
from sensor.bpf.libraries import Library, Unsuited
from sensor.bpf.processes import CodeFile, Process
from sensor.bpf.programs import Programs, TapError, close_all

Mode = Literal["plaintext", "keys"]
TAPS_MAX = 64  # of tap.bpf.h
_EVERY_PROCESS = -1
_NO_PROCESS = "there is no such process"
_NO_LIBRARY = "uses no TLS library that is known"


@dataclass(slots=True)
class _Traced:
    """What is attached to a process; `links` are closed with it."""

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
                self._births = Births(self._programs.births_fd, self._look)
            self._taps.append(tap)
            return self._programs

    def leave(self, tap: "Tap") -> None:
        with self._lock:
            self._taps.remove(tap)
            self._claims = {key: each for key, each in self._claims.items() if each is not tap}
            if self._taps or self._programs is None or self._births is None:
                return
            programs, births = self._programs, self._births
            self._programs = self._births = None
        births.close()
        programs.close()

    def claim(self, tap: "Tap", process: Process) -> "Tap":
        """Whose process it is: traced by two, its bytes would count twice."""
        return self._claims.setdefault((process, tap.mode), tap)

    def disclaim(self, tap: "Tap", process: Process) -> None:
        if self._claims.get((process, tap.mode)) is tap:
            del self._claims[process, tap.mode]

    def _look(self) -> None:
        for each in tuple(self._taps):
            each.refresh()


_shared = _Shared()


class Tap:
    def __init__(
        self, number: int, target: str, mode: Mode = "plaintext", machine_wide: bool = False
    ) -> None:
        """`target`: a process' name, a PID, or the path of a library or program.

        A path without a process traces whoever uses that file: only with `machine_wide`. Raises
        TapError if target and `machine_wide` do not go together.
        """
        if "/" in target and not machine_wide:
            raise TapError(
                f"tap {target}: a path traces every process that uses this file; "
                "name a process, or say machine_wide as well"
            )
        if machine_wide and "/" not in target:
            raise TapError(f"tap {target}: machine_wide goes with the path of a library only")
        if not 0 <= number < TAPS_MAX:
            raise TapError(f"tap {target}: there can be {TAPS_MAX} taps")
        self.number, self.target, self.mode, self.machine_wide = number, target, mode, machine_wide
        self._lock = threading.Lock()
        self._programs: Programs | None = None
        self._traced: dict[Process, _Traced] = {}
        self._everywhere: dict[tuple[int, ...], list[int]] = {}
        self._libraries: dict[tuple[int, ...], Library | str | None] = {}
        self._lost_before: dict[str, int] = {}
        self._began = ""  # of the process that a PID meant
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
        return sorted(each.pid for each, traced in self._traced.items() if traced.links)

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
            if self._problem and self.machine_wide:
                raise TapError(f"tap {self.target}: {self._problem}")
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Attaches to what has come, and detaches from what has gone."""
        with self._lock:
            if self._programs is not None:
                self._refresh()

    def losses(self) -> dict[str, int]:
        """Of this tap: by reason, `<reason>_events` and `<reason>_bytes`."""
        counts = self._opened().losses(self.number)
        return {name: count - self._lost_before[name] for name, count in counts.items()}

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
        try:
            problems = self._trace_file() if self.machine_wide else self._trace_processes()
        except OSError as error:
            problems = [str(error.strerror)]
        self._problem = "; ".join(dict.fromkeys(problems))

    def _wanted(self) -> set[Process]:
        if not self.target.isdecimal():
            return set(processes.named(self.target))
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
                self._opened().watch(processes.name(each))
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
        if not wanted:
            self._watch_for()
            problems.append(_NO_PROCESS)
        elif not self.processes and not problems:
            problems.append(_NO_LIBRARY)
        return problems

    def _watch_for(self) -> None:
        if not self.target.isdecimal():
            self._opened().watch(self.target)

    def _trace(self, process: Process, traced: _Traced) -> None:
        try:
            files = processes.code_files(process)
        except OSError as error:
            if processes.process(process.pid) == process:
                traced.problems = [f"process {process.pid}: {error.strerror}"]
            return
        for file in files:
            if file.identity in traced.files:
                continue
            traced.files.add(file.identity)
            library = self._library(file)
            if isinstance(library, Library):
                links = self._attach(library, file.path, process.pid)
                if isinstance(links, str):
                    traced.problems.append(links)
                else:
                    traced.links += links
            elif library:
                traced.problems.append(library)

    def _library(self, file: CodeFile) -> Library | str | None:
        """Or why it cannot be tapped; read once, however many processes use it."""
        if file.identity not in self._libraries:
            self._libraries[file.identity] = _find(file.path, file.name, self.mode)
        return self._libraries[file.identity]

    def _found(self) -> Iterator[Library | str | None]:
        if self.machine_wide:
            yield _find(self.target, "", self.mode)
            return
        wanted = self._wanted()
        if not wanted:
            yield _NO_PROCESS
        for each in wanted:
            try:
                yield from map(self._library, processes.code_files(each))
            except OSError as error:
                yield f"process {each.pid}: {error.strerror}"

    def _trace_file(self) -> list[str]:
        """By path, so a file that was replaced is traced as well, from then on."""
        identity = processes.identity(os.stat(self.target))
        if identity in self._everywhere:
            return []
        library = _find(self.target, "", self.mode)
        if not isinstance(library, Library):
            return [library or _NO_LIBRARY]
        links = self._attach(library, self.target, _EVERY_PROCESS)
        if isinstance(links, str):
            return [links]
        self._everywhere[identity] = links
        return []

    def _attach(self, library: Library, path: str, pid: int) -> list[int] | str:
        """To all of its places, or why to none."""
        groups: dict[tuple[str, bool], list[Probe]] = {}
        for place in library.places:
            parts = (library.state_at, library.random_at, library.server_at)
            cookie = self.number | place.does << 8
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


def _find(path: str, name: str, mode: Mode) -> Library | str | None:
    """What the file has; or why it cannot be tapped, which begins with `name`."""
    try:
        return libraries.find(path, mode)
    except (ElfError, Unsuited) as error:
        problem = str(error)
    except OSError as error:
        problem = error.strerror or str(error)
    return f"{name}: {problem}" if name else problem
