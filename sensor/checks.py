"""`hoptap check`: what the sensor could see and keep on this machine, without capturing."""

import ctypes
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from exporters.outbox import SinkError
from sensor import hashing, history, interfaces, privileges
from sensor.accuracy_checks import accuracy_findings
from sensor.evidence_checks import evidence_findings
from sensor.exits import HoptapError
from sensor.finding import Finding, Level
from sensor.interfaces import link_of
from sensor.key_checks import key_findings
from sensor.learned import News
from sensor.privileges import CAP_NET_RAW, has_capability
from sensor.progress import bytes_text
from sensor.service_checks import service_findings
from sensor.settings import MIB, Settings, split_listen
from sensor.sink_checks import no_file, sink_findings
from sensor.tap_checks import tap_findings

_FREE_LOW_BYTES = 512 * MIB
_STA_UNSYNC = 0x40  # linux/timex.h


def findings(settings: Settings, *, probe: bool = False) -> Iterator[Finding]:
    """Everything found, in the order a packet would meet it. `probe`: receivers are called."""
    yield from _interfaces(settings)
    yield _rights(settings)
    yield from _user(settings.sensor.user)
    yield _ring_memory(settings)
    yield _cutting(settings)
    yield from _core(settings)
    yield from tap_findings(settings)
    yield from key_findings(settings)
    yield _clock()
    yield _hash_key(settings)
    yield from _outputs(settings)
    yield from evidence_findings(settings, probe)
    yield from sink_findings(settings, probe)
    yield from _services(settings)
    yield _libraries()


def accuracy(settings: Settings) -> Iterator[Finding]:
    """How right the correlation has been at this site."""
    return accuracy_findings(_learned(settings))


def _interfaces(settings: Settings) -> Iterator[Finding]:
    wanted = settings.capture.interfaces
    if not wanted:
        present = ", ".join(interfaces.names())
        yield Finding(Level.NOTE, "interfaces", f"none configured; this machine has {present}")
    for name in wanted:
        subject, link, trouble = f"interface {name}", link_of(name), interfaces.trouble(name)
        if link is None or trouble:
            yield Finding(Level.PROBLEM, subject, trouble.removeprefix(f"{subject} "))
        else:
            kind = "" if link.ethernet else ", no Ethernet"
            yield Finding(Level.OK, subject, f"up, MTU {link.mtu}{kind}")


def _rights(settings: Settings) -> Finding:
    if settings.tap and not settings.capture.interfaces:
        return Finding(Level.NOTE, "CAP_NET_RAW", "not needed: there are taps alone")
    if has_capability(CAP_NET_RAW):
        return Finding(Level.OK, "CAP_NET_RAW", "held: interfaces can be opened")
    text = "missing: run as root, or with AmbientCapabilities=CAP_NET_RAW as deploy/hoptap.service"
    return Finding(Level.PROBLEM, "CAP_NET_RAW", text)


def _user(user: str) -> Iterator[Finding]:
    if not user:
        return
    try:
        privileges.check_user(user)
    except HoptapError as error:
        yield Finding(Level.PROBLEM, "user", str(error))
    else:
        yield Finding(Level.OK, "user", f"{user}, once the interfaces are open")


def _ring_memory(settings: Settings) -> Finding:
    capture = settings.capture
    rings = max(1, len(capture.interfaces)) * capture.workers
    wanted = rings * capture.ring_bytes + capture.workers * settings.limits.memory_bytes_max
    available = _available_bytes()
    if available is None:
        return Finding(Level.NOTE, "memory", "cannot tell how much is available")
    text = (
        f"{rings} x {bytes_text(capture.ring_bytes)} rings and up to {capture.workers} x "
        f"{bytes_text(settings.limits.memory_bytes_max)} for traffic; "
        f"{bytes_text(available)} available"
    )
    return Finding(Level.OK if wanted < available else Level.PROBLEM, "memory", text)


def _cutting(settings: Settings) -> Finding:
    subject = "kernel program"
    if not settings.capture.cut_sealed or settings.keys.decrypt:
        why = "keys.decrypt reads all" if settings.keys.decrypt else "capture.cut_sealed = false"
        return Finding(Level.NOTE, subject, f"classic; packets come whole: {why}")
    from sensor import _core as core

    if refused := core.cutting_refused():
        return Finding(Level.NOTE, subject, f"classic; sealed TLS comes whole: {refused}")
    return Finding(Level.OK, subject, "eBPF; of sealed TLS headers alone reach the ring")


def _available_bytes() -> int | None:
    """The least of what the machine and this control group have left; None when that is hidden."""
    left = [
        int(line.split()[1]) * 1024
        for line in _read(Path("/proc/meminfo")).splitlines()
        if line.startswith("MemAvailable:")
    ]
    group = _read(Path("/sys/fs/cgroup/memory.max"))
    used = _read(Path("/sys/fs/cgroup/memory.current"))
    if group.isdigit() and used.isdigit():
        left.append(int(group) - int(used))
    return min(left, default=None)


def _core(settings: Settings) -> Iterator[Finding]:
    try:
        from sensor import _core as core
    except ImportError as error:
        yield Finding(Level.PROBLEM, "core", f"is not built or does not load: {error}")
        return
    unknown = set(core.LIMITS) ^ set(settings.limits.__slots__)
    if unknown:
        text = f"is of another version; limits differ: {', '.join(sorted(unknown))}"
        yield Finding(Level.PROBLEM, "core", text)
    else:
        counts = f"{len(core.COUNTERS)} counters, {len(core.LIMITS)} limits"
        yield Finding(Level.OK, "core", f"built and loaded; {counts}")


def _clock() -> Finding:
    """Packets carry the time of this machine; sensors of one site are compared by it."""
    timex = (ctypes.c_long * 64)()  # struct timex is 208 bytes; modes 0 only reads
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    maximum_error_us, status = timex[3], timex[5] & 0xFFFFFFFF
    if state < 0:
        return Finding(Level.NOTE, "clock", "cannot tell whether it is synchronised")
    if status & _STA_UNSYNC:
        text = "not synchronised: records of several sensors will not line up; install chrony"
        return Finding(Level.NOTE, "clock", text)
    text = f"synchronised, off by at most {maximum_error_us / 1000:.1f} ms"
    return Finding(Level.OK, "clock", text)


def _hash_key(settings: Settings) -> Finding:
    path = settings.hash_key_path
    if not path.exists():
        return _creatable("hash key", path)
    try:
        hashing.file_hasher(path)
    except HoptapError as error:
        return Finding(Level.PROBLEM, "hash key", str(error))
    return Finding(Level.OK, "hash key", f"{path}")


def _outputs(settings: Settings) -> Iterator[Finding]:
    if settings.output.ndjson != "-":
        yield _records(settings)
    if settings.history.enabled:
        yield _history(settings.history_path)
    if settings.evidence.file:
        yield _creatable("evidence log", Path(settings.evidence.file))
    if settings.status.listen:
        yield _listen(settings.status.listen)


def _records(settings: Settings) -> Finding:
    path = settings.ndjson_path
    if problem := no_file(path, settings):
        return Finding(Level.PROBLEM, "records", problem)
    return _creatable("records", path)


def _history(path: Path) -> Finding:
    if path.exists():
        try:
            history.find(path, history.Query("", limit=1))
        except SinkError as error:
            return Finding(Level.PROBLEM, "history", str(error))
    return _creatable("history", path)


def _services(settings: Settings) -> Iterator[Finding]:
    return service_findings(settings, _learned(settings))


def _learned(settings: Settings) -> News:
    if settings.history.enabled and settings.history_path.exists():
        with suppress(SinkError):  # said of the history
            return history.known(settings.history_path)
    return News()


def _creatable(subject: str, path: Path) -> Finding:
    """Can this file be written, or made?"""
    if path.exists():
        if not os.access(path, os.W_OK):
            return Finding(Level.PROBLEM, subject, f"{path} cannot be written")
        return _space(subject, path)
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        return Finding(Level.PROBLEM, subject, f"{path} cannot be made: {parent} is not writable")
    return _space(subject, path, parent)


def _space(subject: str, path: Path, where: Path | None = None) -> Finding:
    free = shutil.disk_usage(where or path).free
    low = free < _FREE_LOW_BYTES
    text = f"{path}, {bytes_text(free)} free"
    return Finding(Level.NOTE if low else Level.OK, subject, text)


def _listen(listen: str) -> Finding:
    host, port = split_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            text = f"{listen}: {error.strerror}; is the sensor running?"
            return Finding(Level.NOTE, "status", text)
    return Finding(Level.OK, "status", f"http://{listen}/metrics")


def _libraries() -> Finding:
    from importlib.metadata import version

    python = ".".join(map(str, sys.version_info[:3]))
    text = (
        f"Python {python}, SQLite {sqlite3.sqlite_version}, "
        f"prometheus-client {version('prometheus-client')}, msgpack {version('msgpack')}"
    )
    return Finding(Level.OK, "libraries", text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
