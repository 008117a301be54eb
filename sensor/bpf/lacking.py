"""What a tap would need on this machine and does not find, and how to get it."""

import errno
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sensor.bpf import btf, headers, kernel, rights
from sensor.bpf.admission import Admission
from sensor.bpf.compile import has_bcc
from sensor.bpf.libraries import Mode
from sensor.bpf.tap import Tap
from sensor.exits import HoptapError

# linux/capability.h
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_CHECKPOINT_RESTORE = 1, 2, 40
# Since Linux 5.15 an attachment can say something to its programs (bpf_get_attach_cookie).
_RELEASE_MIN = (5, 15)
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # and as Debian calls them
_LOCKDOWN = Path("/sys/kernel/security/lockdown")


@dataclass(frozen=True, slots=True)
class Missing:
    what: str
    how: str  # to get it


def missing() -> list[Missing]:
    """Of the machine and this process' rights; [] when a tap can be opened."""
    return list(_missing())


def missing_for(
    target: str,
    mode: Mode = "plaintext",
    machine_wide: bool = False,
    admission: Admission | None = None,
) -> list[Missing]:
    """Of the tap's target: a process, a library, its functions. Attaches nothing."""
    try:
        problem = Tap(0, target, mode, machine_wide, admission).look()
    except HoptapError as error:
        return [Missing(str(error), "see [[tap]] in deploy/hoptap.toml")]
    return [Missing(problem, _remedy(problem, target, mode))] if problem else []


def reduced() -> list[Missing]:
    """What a tap works without, if not as well."""
    return list(_reduced())


def _reduced() -> Iterator[Missing]:
    if not btf.socket_offsets():
        yield Missing(
            f"{btf.KERNEL}: addresses are looked up later, forks that are not traced yet not "
            "counted",
            "a kernel with CONFIG_DEBUG_INFO_BTF, and /sys mounted",
        )
    # To pass through /proc/PID/map_files of others, and to follow its links.
    passes = rights.has(_CAP_DAC_READ_SEARCH) or rights.has(_CAP_DAC_OVERRIDE)
    if not passes or not (rights.has(_CAP_CHECKPOINT_RESTORE) or rights.has(rights.CAP_SYS_ADMIN)):
        yield Missing(
            "CAP_CHECKPOINT_RESTORE CAP_DAC_READ_SEARCH: libraries that were replaced since a "
            "process began, and those of some file systems, are not looked at",
            "AmbientCapabilities as in deploy/hoptap-tap.conf",
        )


def _remedy(problem: str, target: str, mode: Mode) -> str:
    if "no such process" in problem:
        return "start it: a tap waits for it"
    if "not traced: " in problem:
        return "see user and any_owner of [[tap]] in deploy/hoptap.toml"
    if os.strerror(errno.EACCES) in problem or os.strerror(errno.EPERM) in problem:
        if rights.lacking():
            return "see the rights above"
        return (
            "it is guarded from this process: run the sensor outside of containers (user "
            "namespaces), and ask the log of the security module"
        )
    if os.strerror(errno.ENOENT) in problem:
        return f"there is no {target}: /proc/PID/maps of who uses the library has its path"
    if " lacks " in problem:
        return "a build of the library that exports them"
    if mode == "keys":
        return 'mode = "plaintext"'
    if "/" in target:
        return "give the path of libssl, of libgnutls, or of a program that holds one or is of Go"
    return "name the process that holds the TLS"


def _missing() -> Iterator[Missing]:
    if platform.machine() not in _MACHINES:
        yield Missing(f"a tap for {platform.machine()}", f"made for {', '.join(_MACHINES)}")
    if kernel.release() < _RELEASE_MIN:
        wanted = ".".join(map(str, _RELEASE_MIN))
        yield Missing(f"Linux {wanted} (this is {platform.release()})", "a newer kernel")
    if not kernel.UPROBE_TYPE.exists():
        how = "a kernel with CONFIG_UPROBE_EVENTS and CONFIG_BPF_EVENTS, and /sys mounted"
        yield Missing(f"uprobes ({kernel.UPROBE_TYPE})", how)
    if lacking := rights.lacking():
        names = " ".join(lacking)
        how = f"run as root, or with AmbientCapabilities={names}; in a container, --cap-add"
        yield Missing(names, how)
    if not has_bcc():
        yield Missing("BCC", "apt install python3-bpfcc")
    if not headers.found():
        yield Missing(
            f"kernel headers (of {platform.release()} or any other)",
            f"apt install linux-headers-{_MACHINES.get(platform.machine(), platform.machine())}, "
            "modprobe kheaders, or set BCC_KERNEL_SOURCE"
            + "; /lib/modules is hidden: ProtectKernelModules=no as in deploy/hoptap-tap.conf"
            * headers.hidden(),
        )
    if "[confidentiality]" in _text(_LOCKDOWN):
        yield Missing(
            "the right to read memory of processes",
            "boot with lockdown=integrity instead of confidentiality",
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
