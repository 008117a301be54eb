"""What a tap would need on this machine and does not find, and how to get it."""

import errno
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sensor.bpf import headers, kernel
from sensor.bpf.compile import has_bcc
from sensor.bpf.tap import Mode, Tap
from sensor.exits import HoptapError

# linux/capability.h. Before the kernel could link many places at once, a probe took CAP_SYS_ADMIN.
_CAP_SYS_PTRACE, _CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 19, 21, 38, 39
# Since Linux 5.15 an attachment can say something to its programs (bpf_get_attach_cookie).
_RELEASE_MIN = (5, 15)
_MACHINES = ("x86_64", "aarch64")
_LOCKDOWN = Path("/sys/kernel/security/lockdown")


@dataclass(frozen=True, slots=True)
class Missing:
    what: str
    how: str  # to get it


def missing() -> list[Missing]:
    """Of the machine and this process' rights; [] when a tap can be opened."""
    return list(_missing())


def missing_for(target: str, mode: Mode = "plaintext", machine_wide: bool = False) -> list[Missing]:
    """Of the tap's target: a process, a library, its functions. Attaches nothing."""
    try:
        problem = Tap(0, target, mode, machine_wide).look()
    except HoptapError as error:
        return [Missing(str(error), "see [[tap]] in deploy/hoptap.toml")]
    return [Missing(problem, _remedy(problem, mode))] if problem else []


def _remedy(problem: str, mode: Mode) -> str:
    if "no such process" in problem:
        return "start it: a tap waits for it"
    if os.strerror(errno.EACCES) in problem or os.strerror(errno.EPERM) in problem:
        return "see the rights above"
    return 'mode = "plaintext"' if mode == "keys" else "name the process that holds the TLS"


def _missing() -> Iterator[Missing]:
    if platform.machine() not in _MACHINES:
        yield Missing(f"a tap for {platform.machine()}", f"made for {', '.join(_MACHINES)}")
    if kernel.release() < _RELEASE_MIN:
        wanted = ".".join(map(str, _RELEASE_MIN))
        yield Missing(f"Linux {wanted} (this is {platform.release()})", "a newer kernel")
    if not kernel.UPROBE_TYPE.exists():
        yield Missing("uprobes", "a kernel with CONFIG_UPROBE_EVENTS and CONFIG_BPF_EVENTS")
    if lacking := [name for name, *numbers in _rights() if not any(map(_has, numbers))]:
        names = " ".join(lacking)
        how = f"run as root, or with AmbientCapabilities={names}; in a container, --cap-add"
        yield Missing(names, how)
    if not has_bcc():
        yield Missing("BCC", "apt install python3-bpfcc")
    if not headers.found():
        yield Missing(
            f"kernel headers (of {platform.release()} or any other)",
            "apt install linux-headers-amd64, modprobe kheaders, or set BCC_KERNEL_SOURCE",
        )
    if "[confidentiality]" in _text(_LOCKDOWN):
        yield Missing(
            "the right to read memory of processes",
            "boot with lockdown=integrity instead of confidentiality",
        )


def _rights() -> Iterator[tuple[str, int] | tuple[str, int, int]]:
    """A capability, and the numbers of those that give this right."""
    yield "CAP_SYS_PTRACE", _CAP_SYS_PTRACE
    if kernel.has_multi():
        yield "CAP_BPF", _CAP_BPF, _CAP_SYS_ADMIN
        yield "CAP_PERFMON", _CAP_PERFMON, _CAP_SYS_ADMIN
    else:
        yield "CAP_SYS_ADMIN", _CAP_SYS_ADMIN


def _has(capability: int) -> bool:
    for line in _text(Path("/proc/self/status")).splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> capability & 1)
    return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
