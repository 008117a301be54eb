"""XDR (RFC 4506): what of it libvirt's RPC uses, read in order."""

import struct

from decoders.message import DecodeError

_NUMBER = struct.Struct(">I")


class Reader:
    """Raises DecodeError at the end of what is there. The repr shows no content."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __repr__(self) -> str:
        return f"<{len(self._data) - self._at} bytes left>"

    def number(self) -> int:
        (value,) = _NUMBER.unpack(self.fixed(4))
        return int(value)

    def fixed(self, size_bytes: int) -> bytes:
        """Opaque data of a known size, which its padding does not count in."""
        padded = (size_bytes + 3) & ~3
        if padded > len(self._data) - self._at:
            raise DecodeError("XDR ends early")
        data = self._data[self._at : self._at + size_bytes]
        self._at += padded
        return data

    def text(self) -> str:
        return self.fixed(self.number()).decode("utf-8", "replace")

    def cut_text(self) -> str:
        """As much as there is of a text that may have been cut."""
        size_bytes = self.number()
        left = len(self._data) - self._at
        return self.fixed(min(size_bytes, left & ~3)).decode("utf-8", "replace")

    def optional_text(self) -> str:
        """A pointer to a text, which may be null: then ""."""
        return self.text() if self.number() else ""

    def characters(self) -> bytes:
        """An array of `char`, which the compiler of XDR makes a number of four bytes each."""
        count = self.number()
        if count > (len(self._data) - self._at) // 4:
            raise DecodeError("XDR ends early")
        return bytes(self.number() & 0xFF for _ in range(count))
