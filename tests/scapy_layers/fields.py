"""What the layers share."""

from collections.abc import Sequence
from typing import Any

from scapy.fields import ByteField, Field, FieldLenField, StrLenField
from scapy.packet import Packet


class Part(Packet):
    """A region of a message: what is left over is its padding, not a layer."""

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        return b"", s


def fields(*each: Any) -> list[Any]:
    return list(each)


def lengths_of(*names: str) -> list[Any]:
    """A u32 LE for each string, without its NUL."""
    return [FieldLenField(f"{name}_length", None, fmt="<I", length_of=name) for name in names]


def texts(*names: str) -> list[Any]:
    """The strings, each with a NUL after it."""
    made: list[Any] = []
    for name in names:
        made += [text(name), ByteField(f"{name}_nul", 0)]
    return made


def text(name: str) -> Any:
    """A string as long as the field `<name>_length` says."""
    return StrLenField(name, b"", length_from=lambda packet: getattr(packet, f"{name}_length"))


class ZerosTo(Field[bytes, bytes]):
    """Zeros up to an offset in the layer; what else stands there is kept."""

    __slots__ = ("end",)

    def __init__(self, name: str, end: int) -> None:
        super().__init__(name, b"", "0s")
        self.end = end

    def addfield(self, pkt: Any, s: bytes, val: Any) -> bytes:
        return s + (val or b"").ljust(max(0, self.end - len(s)), b"\0")

    def getfield(self, pkt: Any, s: bytes) -> tuple[bytes, bytes]:
        size = max(0, self.end - (len(pkt.original) - len(s)))
        return s[size:], s[:size].rstrip(b"\0")


def names_in(rows: str) -> dict[int, str]:
    """ "0 A 1 B" -> {0: "A", 1: "B"}."""
    words: Sequence[str] = rows.split()
    return {int(number): name for number, name in zip(words[::2], words[1::2], strict=True)}
