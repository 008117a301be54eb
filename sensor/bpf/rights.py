"""The rights of this process that a tap takes."""

from collections.abc import Iterator
from pathlib import Path

from sensor.bpf import kernel

# linux/capability.h. Before the kernel could link many places at once, a probe took CAP_SYS_ADMIN.
_CAP_SYS_PTRACE, CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 19, 21, 38, 39


def lacking() -> list[str]:
    """Names of capabilities."""
    return [name for name, *numbers in _rights() if not any(map(has, numbers))]


def _rights() -> Iterator[tuple[str, int] | tuple[str, int, int]]:
    """A capability, and the numbers of those that give this right."""
    yield "CAP_SYS_PTRACE", _CAP_SYS_PTRACE
    if kernel.has_multi():
        yield "CAP_BPF", _CAP_BPF, CAP_SYS_ADMIN
        yield "CAP_PERFMON", _CAP_PERFMON, CAP_SYS_ADMIN
    else:
        yield "CAP_SYS_ADMIN", CAP_SYS_ADMIN


def has(capability: int) -> bool:
    text = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> capability & 1)
    return False
