"""Files whose code somebody runs, opened once: what they are by then is what is read and probed.

A path of another process leads where that process wants, and elsewhere a moment later.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def identity(status: os.stat_result) -> tuple[int, ...]:
    """Of a file by the first two, and of what it held then. Not st_ctime: another name or mode is
    no other content.
    """
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def open_regular(path: str) -> int:
    """A descriptor. Waits for nobody. Raises OSError."""
    fd = os.open(path, _FLAGS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "is no regular file")
    return fd


@contextmanager
def opened(path: str, expected: tuple[int, ...] = ()) -> Iterator[int]:
    """`expected`: the identity of the file that is meant. Raises OSError."""
    fd = open_regular(path)
    try:
        status = os.fstat(fd)
        if expected and (status.st_dev, status.st_ino) != expected[:2]:
            raise OSError(errno.ESTALE, "another file has its place")
        yield fd
    finally:
        os.close(fd)


def path_of(fd: int) -> str:
    """That leads to what is open there, for the kernel to attach to."""
    return f"/proc/self/fd/{fd}"
