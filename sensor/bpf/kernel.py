"""The system calls of a tap: perf events on user functions, links to programs, maps.

Every descriptor is closed on exec, and a killed process' are closed by the kernel, which detaches
what hangs on them. Numbers and layouts are those of linux/bpf.h and linux/perf_event.h.
"""

import ctypes
import errno
import os
import platform
import re
import struct
from dataclasses import dataclass
from pathlib import Path

_SYSCALLS = {"x86_64": (321, 298), "aarch64": (280, 241)}  # bpf, perf_event_open
UPROBE_TYPE = Path("/sys/bus/event_source/devices/uprobe/type")
_RETURNS = 1  # the format's bit `retprobe`
_ATTRIBUTE_BYTES = 112  # PERF_ATTR_SIZE_VER5
_DISABLED = 1
_PERF_FLAG_FD_CLOEXEC = 8
_MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _PROG_RUN = 1, 2, 3, 10
_RAW_TRACEPOINT_OPEN, _LINK_CREATE = 17, 28
_RUN_BYTES = 80  # of union bpf_attr, up to batch_size
_BPF_PERF_EVENT = 41  # enum bpf_attach_type
UPROBE_MULTI = 48  # BPF_TRACE_UPROBE_MULTI
_MULTI_RETURN = 1  # BPF_F_UPROBE_MULTI_RETURN
# From 6.6 on, but it took only the first thread of a process until 6.10 (commit 46ba0e49b642).
_MULTI_SINCE = (6, 10)
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Probe:
    """A place of a file, or the return of the function there, and what its program is told."""

    offset: int
    cookie: int


def attach_all(program: int, path: str, probes: list[Probe], *, returns: bool, pid: int) -> int:
    """A link: the program runs when these places of the file are executed, until it is closed.

    By every thread of the process `pid`, or by every process if that is -1. Raises OSError.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    offsets = (ctypes.c_uint64 * len(probes))(*(each.offset for each in probes))
    cookies = (ctypes.c_uint64 * len(probes))(*(each.cookie for each in probes))
    pointers = ctypes.addressof(name), ctypes.addressof(offsets), 0, ctypes.addressof(cookies)
    counted = len(probes), _MULTI_RETURN if returns else 0, max(pid, 0)
    attribute = struct.pack("<IIII4QIII", program, 0, UPROBE_MULTI, 0, *pointers, *counted)
    return _bpf(_LINK_CREATE, attribute)


def attach_one(program: int, path: str, probe: Probe, *, returns: bool, pid: int) -> int:
    """The same of one place, before Linux 6.6: closing it takes the kernel 0.1 s."""
    event = _open_event(path, probe.offset, returns, pid)
    try:
        attribute = struct.pack("<IIIIQ", program, event, _BPF_PERF_EVENT, 0, probe.cookie)
        return _bpf(_LINK_CREATE, attribute)
    finally:
        os.close(event)  # the link holds it


def has_multi() -> bool:
    return release() >= _MULTI_SINCE


def release() -> tuple[int, int]:
    """The running kernel's."""
    major, minor = re.findall(r"\d+", platform.release())[:2]
    return int(major), int(minor)


def attach_tracepoint(program: int, name: str) -> int:
    """Raises OSError."""
    text = ctypes.create_string_buffer(name.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI", ctypes.addressof(text), program))


def run(program: int) -> int:
    """A raw tracepoint's program, now; what it returned. Raises OSError."""
    buffer = ctypes.create_string_buffer(struct.pack("<II", program, 0), _RUN_BYTES)
    _checked(_LIBC.syscall(_numbers()[0], _PROG_RUN, ctypes.byref(buffer), len(buffer)))
    (returned,) = struct.unpack_from("<I", buffer, 4)
    return int(returned)


def look_up(map_fd: int, key: int, value_bytes: int) -> bytes:
    """The value of a map whose key is a 32-bit number. Raises OSError."""
    place = ctypes.c_uint32(key)
    value = ctypes.create_string_buffer(value_bytes)
    pointers = ctypes.addressof(place), ctypes.addressof(value)
    _bpf(_MAP_LOOKUP, struct.pack("<IIQQQ", map_fd, 0, *pointers, 0))
    return value.raw


def put(map_fd: int, key: bytes, value: bytes) -> None:
    """Raises OSError."""
    key_place, value_place = ctypes.create_string_buffer(key), ctypes.create_string_buffer(value)
    pointers = ctypes.addressof(key_place), ctypes.addressof(value_place)
    _bpf(_MAP_UPDATE, struct.pack("<IIQQQ", map_fd, 0, *pointers, 0))


def remove(map_fd: int, key: bytes) -> None:
    """Raises OSError."""
    place = ctypes.create_string_buffer(key)
    _bpf(_MAP_DELETE, struct.pack("<IIQ", map_fd, 0, ctypes.addressof(place)))


def possible_cpus() -> int:
    """As many values as a per-CPU map has for each key."""
    text = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip()
    return int(text.replace(",", "-").split("-")[-1]) + 1


def _open_event(path: str, offset: int, returns: bool, pid: int) -> int:
    """Left disabled: the program runs all the same, and a switch of threads costs nothing more."""
    kind = int(UPROBE_TYPE.read_text(encoding="ascii"))
    name = ctypes.create_string_buffer(os.fsencode(path))
    attribute = bytearray(_ATTRIBUTE_BYTES)
    struct.pack_into("<IIQ", attribute, 0, kind, _ATTRIBUTE_BYTES, _RETURNS if returns else 0)
    struct.pack_into("<Q", attribute, 40, _DISABLED)
    struct.pack_into("<QQ", attribute, 56, ctypes.addressof(name), offset)
    buffer = (ctypes.c_char * len(attribute)).from_buffer(attribute)
    cpu = -1 if pid >= 0 else 0
    number = _numbers()[1]
    return _checked(
        _LIBC.syscall(number, ctypes.byref(buffer), pid, cpu, -1, _PERF_FLAG_FD_CLOEXEC)
    )


def _bpf(command: int, attribute: bytes) -> int:
    buffer = ctypes.create_string_buffer(attribute, len(attribute))
    return _checked(_LIBC.syscall(_numbers()[0], command, ctypes.byref(buffer), len(attribute)))


def _numbers() -> tuple[int, int]:
    try:
        return _SYSCALLS[platform.machine()]
    except KeyError:
        raise OSError(errno.ENOSYS, f"not made for {platform.machine()}") from None


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
