"""Processes by name or number, and the files whose code they run, as /proc shows them."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sensor.bpf import files
from sensor.bpf.files import identity

PROC = Path("/proc")
FILES_MAX = 512  # of a process that are looked at; a desktop's have some 300
_MAPS_BYTES_MAX = 16 * 1024 * 1024  # 65,530 mappings, as many as the kernel allows by default
_COMM_BYTES_MAX = 15  # TASK_COMM_LEN without its zero
# fields of /proc/PID/stat (proc(5)), counted from behind the name
_START_TIME, _MEMORY_BYTES, _STACK_START = 19, 20, 25
_OUT_OF_MEANS = errno.EMFILE, errno.ENFILE, errno.ENOMEM  # of the sensor, and for a while
# start-end perms offset device inode path
_MAPPING = re.compile(rb"^(\w+-\w+) ..x. \w+ (\w+:\w+ [1-9]\d*) +(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Process:
    """One program in one process: a number that is used again, or an exec, makes another."""

    pid: int
    start: tuple[str, str]


@dataclass(frozen=True, slots=True)
class CodeFile:
    identity: tuple[int, ...]  # of which the first two are as files.identity has them
    path: str  # led to this very file, also if it was removed or is in another mount namespace
    name: str

    def opened(self) -> AbstractContextManager[int]:
        """A descriptor of this very file, whatever is in its place by now. Raises OSError."""
        return files.opened(self.path, self.identity)

    def seen_by(self, pid: int) -> "CodeFile":
        """The same one, of a process that was just forked."""
        _, proc, _, rest = self.path.split("/", 3)
        return replace(self, path=f"/{proc}/{pid}/{rest}")


def process(pid: int) -> Process | None:
    """None if there is none, or it has no memory of its own: ended, or of the kernel.

    Raises OSError when it cannot be told, for want of descriptors or memory.
    """
    first = _stat(f"{PROC}/{pid}")
    alive = _stat(living(pid)) if _has_ended(first) else first
    if _has_ended(alive) or alive[_MEMORY_BYTES] == "0":
        return None
    return Process(pid, (first[_START_TIME], alive[_STACK_START]))


def living(pid: int) -> str:
    """Where /proc has its memory and files: of its first thread, or of one that outlived it."""
    first = f"{PROC}/{pid}"
    if _has_ended(_stat(first)):
        with suppress(OSError):
            for each in os.listdir(f"{first}/task"):
                if not _has_ended(_stat(f"{first}/task/{each}")):
                    return f"{PROC}/{each}"
    return first


def has_lost_first_thread(pid: int) -> bool:
    """By which the kernel finds the memory that breakpoints go to."""
    return living(pid) != f"{PROC}/{pid}"


def _stat(directory: str) -> list[str]:
    """From the state on; [] when it has ended. Raises OSError when it cannot be told."""
    try:
        text = Path(directory, "stat").read_text(errors="replace")
    except OSError as error:
        if error.errno in _OUT_OF_MEANS:
            raise
        return []
    return text.rpartition(")")[2].split()


def _has_ended(fields: list[str]) -> bool:
    return not fields or fields[0] in "ZX"


def named(name: str) -> Iterator[Process]:
    """Those whose program, or the name they took, is this."""
    ours = os.getpid()
    for pid in _numbered():
        if pid != ours and _is_named(pid, name):
            found = process(pid)
            if found:
                yield found


def family(pid: int) -> Iterator[Process]:
    """This one, and those that it forked, as long as they run the same program."""
    first = process(pid)
    if first is None:
        return
    parents = dict(_parents())
    program = _link(pid)
    for each in parents:
        ancestor = each
        while ancestor and ancestor != pid and _link(ancestor) == program:
            ancestor = parents.get(ancestor, 0)
        found = process(each) if ancestor == pid and _link(each) == program else None
        if found:
            yield found


def name(of: Process) -> str:
    """As the kernel calls it; "" when it has ended."""
    try:
        return Path(PROC, str(of.pid), "comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return ""


def code_files(of: Process) -> list[CodeFile]:
    """Its program and libraries, at most FILES_MAX. Raises OSError when it has ended, or may not be
    looked at; a file that may not be is among them, and cannot be opened.
    """
    base = living(of.pid)
    found: dict[bytes, CodeFile] = {}
    for match in _MAPPING.finditer(_maps(f"{base}/maps")):
        span, file, name = match.groups()
        if file in found:
            continue
        if len(found) == FILES_MAX:
            break
        path = f"{base}/root{os.fsdecode(name)}"
        status = _mapped(path, file)
        if status is None:
            path = f"{base}/map_files/{_plain(span.decode())}"
            try:
                status = os.stat(path)
            except PermissionError:
                found[file] = CodeFile(_numbers(file), path, os.fsdecode(name))
                continue
            except OSError:
                continue  # it is not mapped any more
        found[file] = CodeFile(identity(status), path, os.fsdecode(name))
    return list(found.values())


def _maps(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MAPS_BYTES_MAX)


def _mapped(path: str, file: bytes) -> os.stat_result | None:
    """Of the one that `maps` means; else only map_files leads there, which needs more rights."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status if (status.st_dev, status.st_ino) == _numbers(file) else None


def _numbers(file: bytes) -> tuple[int, int]:
    """Device and inode."""
    device, inode = file.decode().split()
    major, minor = (int(each, 16) for each in device.split(":"))
    return os.makedev(major, minor), int(inode)


def _parents() -> Iterator[tuple[int, int]]:
    for pid in _numbered():
        fields = _stat(f"{PROC}/{pid}")
        if fields:
            yield pid, int(fields[1])


def _numbered() -> list[int]:
    with os.scandir(PROC) as entries:
        return [int(each.name) for each in entries if each.name.isdecimal()]


def _link(pid: int) -> str:
    """Its program; another for each that cannot be told."""
    try:
        return program(pid)
    except OSError:
        return str(pid)


def _plain(span: str) -> str:
    """map_files has no leading zeros."""
    return "-".join(f"{int(each, 16):x}" for each in span.split("-"))


def _is_named(pid: int, name: str) -> bool:
    try:
        with open(f"{PROC}/{pid}/comm", "rb") as file:
            comm = os.fsdecode(file.read().rstrip(b"\n"))
        if comm == name[:_COMM_BYTES_MAX]:
            return len(name) <= _COMM_BYTES_MAX or os.path.basename(program(pid)) == name
        return os.path.basename(program(pid)) == name
    except OSError as error:
        if error.errno in _OUT_OF_MEANS:
            raise
        return False  # ended, or a thread of the kernel, which has no program


def program(pid: int) -> str:
    """Its path. Raises OSError, when it has ended or may not be looked at."""
    try:
        found = os.readlink(f"{PROC}/{pid}/exe")
    except FileNotFoundError:
        found = os.readlink(f"{living(pid)}/exe")
    return found.removesuffix(" (deleted)")
