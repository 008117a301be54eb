"""Keyed hashes of tokens: they join sessions across records and sensors, and give nothing back.

The key never leaves this module: it is not logged, shown, exported or kept in a repr.
"""

import os
import secrets
import stat
from contextlib import suppress
from hashlib import blake2s
from pathlib import Path

from sensor.exits import ConfigError, OutputError, os_error_line

KEY_BYTES = 32  # the longest key of BLAKE2s (RFC 7693 section 2.1)
HASH_BYTES = 16  # 128 bits: no accidental join among 2^60 tokens


class KeyedHasher:
    """Token -> `b2s:<32 hex digits>`. No token has no hash."""

    __slots__ = ("_fresh",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a hash key is {KEY_BYTES} bytes")
        self._fresh = blake2s(digest_size=HASH_BYTES, key=key)

    def __call__(self, secret: str) -> str:
        if not secret:
            return ""
        state = self._fresh.copy()
        state.update(secret.encode("utf-8", "surrogatepass"))
        return f"b2s:{state.hexdigest()}"


def run_hasher() -> KeyedHasher:
    """A hasher whose key is forgotten with the process; its hashes join within this run only."""
    return KeyedHasher(secrets.token_bytes(KEY_BYTES))


def file_hasher(path: Path) -> KeyedHasher:
    """The hasher of an existing key file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4096)
    except OSError as error:
        raise ConfigError(os_error_line(f"hash key {path}", error)) from None
    if mode & 0o077:
        raise ConfigError(f"hash key {path}: mode {mode:04o} lets others read it; chmod 600 {path}")
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:  # UnicodeDecodeError is one
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"hash key {path}: must hold {KEY_BYTES * 2} hexadecimal digits")
    return KeyedHasher(key)


def installation_hasher(path: Path) -> KeyedHasher:
    """The hasher of this installation; the first call makes its key.

    Raises ConfigError when a key file is not right, OutputError when none can be made.
    """
    if not path.exists():
        _create_key(path)
    return file_hasher(path)


def _create_key(path: Path) -> None:
    """Two sensors that start at once end with one whole key: link() lets the first win."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(KEY_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(unfinished, path)
        finally:
            unfinished.unlink()
    except OSError as error:
        raise OutputError(os_error_line(f"hash key {path}", error)) from None
