"""Files that are probed, of a process or of everybody: each once, whatever happens to its name."""

from collections.abc import Iterator
from dataclasses import dataclass

from sensor.bpf import files
from sensor.bpf.kernel import Probe
from sensor.bpf.libraries import Library
from sensor.bpf.processes import CodeFile
from sensor.bpf.programs import Programs, close_all


@dataclass(slots=True)
class _Probed:
    identity: tuple[int, ...]
    library: Library
    file: CodeFile | None
    links: list[int]


class ProbedFiles:
    """By device and inode, which are no other file's as long as a link holds this one."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, ...], _Probed] = {}

    def __bool__(self) -> bool:
        return bool(self._files)

    def has(self, identity: tuple[int, ...]) -> bool:
        """With what it holds now, as far as that may be looked at."""
        probed = self._files.get(identity[:2])
        return probed is not None and probed.identity[: len(identity)] == identity

    def renew(self, identity: tuple[int, ...], library: Library | None) -> bool:
        """Is it probed where it is to be? If it holds something else now, it is not any more."""
        probed = self._files.get(identity[:2])
        if probed is None:
            return False
        if probed.library == library:
            probed.identity = identity
            return True
        close_all(probed.links)
        del self._files[identity[:2]]
        return False

    def add(
        self, identity: tuple[int, ...], library: Library, links: list[int],
        file: CodeFile | None = None,
    ) -> None:  # fmt: skip
        self._files[identity[:2]] = _Probed(identity, library, file, links)

    def of_process(self) -> Iterator[tuple[Library, CodeFile]]:
        for each in self._files.values():
            if each.file:
                yield each.library, each.file

    def links(self) -> list[int]:
        """To be closed by who asks."""
        return [link for each in self._files.values() for link in each.links]


def attach(programs: Programs, library: Library, fd: int, told: int, pid: int) -> list[int]:
    """Links to all of its places in the open file. `told`: of each cookie. Raises OSError."""
    path = files.path_of(fd)
    parts = library.state_at, library.random_at, library.server_at
    told |= sum(part << 16 * number for number, part in enumerate(parts, 1))
    groups: dict[tuple[str, bool], list[Probe]] = {}
    for place in library.places:
        probes = groups.setdefault((place.program, place.returns), [])
        probes.append(Probe(place.offset, told | place.does << 8))
    links: list[int] = []
    try:
        for (program, returns), probes in groups.items():
            links += programs.attach(program, path, probes, returns=returns, pid=pid)
    except OSError:
        close_all(links)
        raise
    return links
