"""What a program or library file says of its functions: where they begin, end, and are called.

Only 64-bit little-endian ELF. An address is the file's own (of its symbols); an offset is in the
file, which is what a probe takes.
"""

import mmap
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from sensor.bpf import x86

_SYMBOL_TABLES = (2, 11)  # SHT_SYMTAB, SHT_DYNSYM
_LOAD = 1  # PT_LOAD
_FUNCTION_KINDS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
X86_64 = 62  # EM_X86_64
# LEA of what is told relative to the instruction: REX.W, 8D, ModRM with mode 0 and base 5.
_NEAR_LEA = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", re.DOTALL)
_LEA_BYTES = 7
_CALL_INSTRUCTIONS_MAX = 16  # between the load of a call's argument and the call


class ElfError(Exception):
    """The file is none, or is damaged."""


@dataclass(frozen=True, slots=True)
class Function:
    address: int
    size: int  # 0: not told


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    address: int
    offset: int
    size: int
    link: int
    entry_bytes: int


# What makes no sense in a file that is damaged, or made to harm.
DAMAGE = (struct.error, IndexError, OverflowError, ValueError)
_READ_BYTES_MAX = 32 * 1024 * 1024


class Elf:
    """An open file. Its methods raise ElfError, or one of DAMAGE where it is damaged."""

    def __init__(self, path: str) -> None:
        """Raises OSError, ElfError, DAMAGE."""
        with open(path, "rb") as file:
            self._data = _content(file)
        try:
            if self._data[:6] != b"\x7fELF\x02\x01":
                raise ElfError("is no 64-bit ELF file")
            self._read_headers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if isinstance(self._data, mmap.mmap):
            self._data.close()

    def __enter__(self) -> "Elf":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def functions(self, *names: str) -> dict[str, Function]:
        """Those of these names that it has, whether exported or not."""
        found: dict[str, Function] = {}
        for table in self._sections:
            if table.kind in _SYMBOL_TABLES and len(found) < len(names):
                found |= self._functions_of(table, set(names) - found.keys())
        return found

    def offset(self, address: int) -> int:
        """Raises ElfError."""
        for start, size, offset in self._loaded:
            if start <= address < start + size:
                return address - start + offset
        raise ElfError(f"address {address:#x} is not in the file")

    def bytes_at(self, address: int, size: int) -> bytes:
        offset = self.offset(address)
        return self._data[offset : offset + size]

    def section(self, name: str) -> tuple[int, int] | None:
        """Its address and size."""
        found = self._named.get(name)
        return (found.address, found.size) if found else None

    def text(self, address: int) -> str:
        """The string that begins there."""
        offset = self.offset(address)
        return self._data[offset : self._data.find(b"\0", offset)].decode(errors="replace")

    def called_with(self, text: str) -> list[int]:
        """Functions called right after the address of this string was loaded."""
        code = self._named.get(".text")
        if self.machine != X86_64 or code is None:
            return []
        places = set(self._places(text.encode()))
        body = self._data[code.offset : code.offset + code.size]
        called = []
        for match in _NEAR_LEA.finditer(body) if places else ():
            at = match.start()
            (near,) = struct.unpack_from("<i", body.ljust(at + _LEA_BYTES, b"\0"), at + 3)
            if code.address + at + _LEA_BYTES + near in places:
                called += self._next_call(body[at : at + 256], code.address + at)
        return called

    def _next_call(self, code: bytes, address: int) -> list[int]:
        try:
            for number, each in enumerate(x86.instructions(code, address)):
                if each.goes_to is not None:
                    return [each.goes_to]
                if number == _CALL_INSTRUCTIONS_MAX:
                    break
        except ValueError:
            pass
        return []

    def _places(self, text: bytes) -> Iterator[int]:
        """Addresses of a string that stands by itself."""
        at = self._data.find(b"\0" + text + b"\0")
        while at >= 0:
            for start, size, offset in self._loaded:
                if offset <= at + 1 < offset + size:
                    yield at + 1 - offset + start
            at = self._data.find(b"\0" + text + b"\0", at + 1)

    def _functions_of(self, table: _Section, names: set[str]) -> dict[str, Function]:
        strings = self._sections[table.link]
        wanted: dict[int, str] = {}
        for name in names:
            wanted |= dict.fromkeys(self._name_offsets(strings, name), name)
        found = {}
        rows = self._data[table.offset : table.offset + table.size]
        for name_at, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", rows):
            if name_at in wanted and section and info & 15 in _FUNCTION_KINDS:
                found[wanted[name_at]] = Function(value, size)
        return found

    def _name_offsets(self, strings: _Section, name: str) -> Iterator[int]:
        """Every place where this name ends a string: linkers let names share their tails."""
        text, end = name.encode() + b"\0", strings.offset + strings.size
        at = self._data.find(text, strings.offset, end)
        while at >= 0:
            yield at - strings.offset
            at = self._data.find(text, at + 1, end)

    def _read_headers(self) -> None:
        (self.machine,) = struct.unpack_from("<H", self._data, 18)
        segments, sections = struct.unpack_from("<QQ", self._data, 32)
        segment_bytes, segment_count, section_bytes, section_count, names = struct.unpack_from(
            "<HHHHH", self._data, 54
        )
        self._loaded: list[tuple[int, int, int]] = []
        for at in range(segments, segments + segment_count * segment_bytes, segment_bytes):
            kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", self._data, at)
            if kind == _LOAD:
                self._loaded.append((address, size, offset))
        self._sections: list[_Section] = []
        titles = []
        for at in range(sections, sections + section_count * section_bytes, section_bytes):
            title, kind, _, address, offset, size, link, _, _, entry = struct.unpack_from(
                "<IIQQQQIIQQ", self._data, at
            )
            titles.append(title)
            self._sections.append(_Section(kind, address, offset, size, link, entry))
        self._named = {}
        for title, section in zip(titles, self._sections, strict=True):
            at = self._sections[names].offset + title
            name = self._data[at : self._data.find(b"\0", at)].decode(errors="replace")
            self._named[name] = section


def _content(file: BinaryIO) -> bytes | mmap.mmap:
    """Read, as who shortens a mapped file kills us. Mapped if it is large: that is a program,
    which nobody can write to while it runs, with its libraries in it.
    """
    if os.fstat(file.fileno()).st_size <= _READ_BYTES_MAX:
        return file.read()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
