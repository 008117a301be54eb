"""`hoptap check` of the key intake: nothing is made, bound or read, private keys excepted."""

import errno
import os
import resource
import socket
import stat
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from sensor.exits import ConfigError
from sensor.finding import Finding, Level
from sensor.keybuffer import BUFFER_BYTES
from sensor.keys import add_rsa_key
from sensor.privileges import CAP_IPC_LOCK, has_capability
from sensor.progress import bytes_text
from sensor.settings import KeySettings, Settings, split_listen

_QUEUE = Path("/proc/sys/net/unix/max_dgram_qlen")
_QUEUE_LOW = 512  # what systemd sets at boot; the kernel's 10 are two handshakes
_SOCKET_PATH_BYTES_MAX = 107  # sun_path of unix(7), without its end
_SECRET_BYTES = 96  # of struct tls_slot in sensor/core/tls_table.h, rounded up


def key_findings(settings: Settings) -> Iterator[Finding]:
    keys = settings.keys
    inputs = [*keys.logs, *keys.fifo, *filter(None, (keys.unix, keys.udp))]
    if not keys.decrypt:
        unread = "; the key logs and keys named are not read" if inputs or keys.rsa_keys else ""
        text = f"keys.decrypt is false: of TLS only names and services are seen{unread}"
        yield Finding(Level.NOTE, "TLS", text)
        return
    if not inputs and not keys.rsa_keys:
        text = "keys.decrypt is true, but no key comes from anywhere: name a key log in [keys]"
        yield Finding(Level.NOTE, "TLS", text)
    yield _lockable(settings, len(inputs))
    yield from _inputs(keys)
    yield from (_rsa_key(path, settings) for path in keys.rsa_keys)


def _inputs(keys: KeySettings) -> Iterator[Finding]:
    yield from (_log(path) for path in keys.logs)
    yield from (_fifo(path) for path in keys.fifo)
    if keys.unix:
        yield _unix(keys.unix)
        yield from _queue()
    if keys.udp:
        yield _udp(keys.udp)


def _lockable(settings: Settings, inputs: int) -> Finding:
    """Memory that must not be swapped out, and how much of it the kernel lets us lock."""
    limits = settings.limits
    secrets = limits.tls_secrets_max + limits.tls_tickets_max
    wanted = settings.capture.workers * secrets * _SECRET_BYTES + inputs * BUFFER_BYTES
    allowed, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    text = f"up to {bytes_text(wanted)} of secrets in memory"
    if allowed == resource.RLIM_INFINITY or has_capability(CAP_IPC_LOCK) or wanted <= allowed:
        return Finding(Level.OK, "TLS", f"decrypted where a key is given; {text}, locked")
    text += f", of which {bytes_text(allowed)} may be locked; the rest may be swapped to disk"
    return Finding(Level.NOTE, "TLS", f"{text}: raise LimitMEMLOCK")


def _log(path: str) -> Finding:
    subject = f"key log {path}"
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno == errno.ENOENT and Path(path).parent.is_dir():
            return Finding(Level.NOTE, subject, "is not there yet, awaited")
        return Finding(Level.PROBLEM, subject, error.strerror or str(error))
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        return Finding(Level.PROBLEM, subject, "is no file")
    return _readable(subject, path, mode)


def _readable(subject: str, path: str, mode: int) -> Finding:
    if not os.access(path, os.R_OK):
        return Finding(Level.PROBLEM, subject, os.strerror(errno.EACCES))
    if mode & stat.S_IROTH:
        return Finding(Level.NOTE, subject, f"others on this machine may read it; chmod o-r {path}")
    return Finding(Level.OK, subject, "can be read")


def _fifo(path: str) -> Finding:
    subject = f"FIFO {path}"
    if not os.path.lexists(path):
        return _makeable(subject, path)
    mode = os.stat(path).st_mode
    if not stat.S_ISFIFO(mode):
        return Finding(Level.PROBLEM, subject, "is no FIFO")
    return _readable(subject, path, mode)


def _unix(path: str) -> Finding:
    subject = f"keys.unix {path}"
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES_MAX:
        text = f"is longer than {_SOCKET_PATH_BYTES_MAX} bytes, as no unix socket's path may be"
        return Finding(Level.PROBLEM, subject, text)
    if not os.path.lexists(path):
        return _makeable(subject, path)
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return Finding(Level.PROBLEM, subject, "is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            return Finding(Level.OK, subject, "was left behind and will be made anew")
    return Finding(Level.NOTE, subject, "is in use; is the sensor running?")


def _queue() -> Iterator[Finding]:
    """Senders do not wait: what the kernel does not queue is lost."""
    try:
        queued = int(_QUEUE.read_text())
    except (OSError, ValueError):
        return
    if queued < _QUEUE_LOW:
        text = f"{queued} keys at most wait for the sensor; sysctl net.unix.max_dgram_qlen=512"
        yield Finding(Level.NOTE, "keys.unix queue", text)


def _makeable(subject: str, path: str) -> Finding:
    directory = Path(path).parent
    if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
        return Finding(Level.OK, subject, "will be made")
    return Finding(Level.PROBLEM, subject, f"cannot be made: {directory} is not writable")


def _rsa_key(path: str, settings: Settings) -> Finding:
    from sensor import _core

    subject = f"RSA key {path}"
    idle = _core.Source(
        _core.Interest(), asdict(settings.limits), files=(os.devnull,), decrypt=True
    )
    try:
        add_rsa_key(path, [idle])
        return _readable(subject, path, os.stat(path).st_mode)
    except ConfigError as error:
        return Finding(Level.PROBLEM, subject, str(error).removeprefix(f"{subject}: "))
    finally:
        idle.close()


def _udp(listen: str) -> Finding:
    host, port = split_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            text = f"{error.strerror}; is the sensor running?"
            return Finding(Level.NOTE, f"keys.udp {listen}", text)
    return Finding(Level.OK, f"keys.udp {listen}", "is free")
