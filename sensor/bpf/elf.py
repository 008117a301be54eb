"""What a program or library file says of its functions: where they begin, end, and are called.

Only 64-bit little-endian ELF. An address is the file's own (of its symbols); an offset is in the
file, which is what a probe takes. Who wrote the file may have made it to harm whoever reads it: it
is never mapped, as a mapped file that is shortened kills its reader, and all of it has bounds.
"""

import os
import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sensor.bpf import files, x86

_PROGRAM_BITS = 1  # SHT_PROGBITS
_SYMBOL_TABLES = (2, 11)  # SHT_SYMTAB, SHT_DYNSYM
_CODE = 4  # SHF_EXECINSTR
_LOAD = 1  # PT_LOAD
_FUNCTION_KINDS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
_KINDS = (2, 3)  # ET_EXEC, ET_DYN
X86_64 = 62  # EM_X86_64
_HEADER_BYTES, _SECTION_BYTES, _SEGMENT_BYTES, _SYMBOL_BYTES = 64, 64, 56, 24
# LEA of what is told relative to the instruction: REX.W, 8D, ModRM with mode 0 and base 5.
_NEAR_LEA = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", re.DOTALL)
_LEA_BYTES = 7
_CALL_INSTRUCTIONS_MAX = 16  # between the load of a call's argument and the call
_CALL_BYTES_MAX = 256

# Of one file; node, which has all of its libraries within, takes up to half of each.
_READ_BYTES_MAX = 256 * 1024 * 1024
_AT_ONCE_BYTES_MAX = 128 * 1024 * 1024  # Go's table of functions
_PIECE_BYTES = 1024 * 1024  # which is searched at once
_SECTIONS_MAX = _SEGMENTS_MAX = 1024
_TITLES_BYTES_MAX = 64 * 1024
_TABLES_MAX = 4
_SYMBOLS_MAX = 1 << 21
_NAMES_BYTES_MAX = 64 * 1024 * 1024
_PLACES_MAX = 1024  # of the same text
_LOADS_MAX = 1 << 21
# What makes no sense in a file that is damaged, or made to harm.
DAMAGE = (struct.error, LookupError, ArithmeticError, ValueError, MemoryError)


class ElfError(Exception):
    """The file is none, is damaged, or has more than is looked at."""


@dataclass(frozen=True, slots=True)
class Function:
    address: int
    size: int  # 0: not told


@dataclass(frozen=True, slots=True)
class _Section:
    title: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


class Elf:
    """An open file. Its methods raise OSError, ElfError, or one of DAMAGE where it is damaged."""

    def __init__(self, file: str | int) -> None:
        """A descriptor stays its owner's. Raises OSError, ElfError, DAMAGE."""
        self._owned = isinstance(file, str)
        self._fd = files.open_regular(file) if isinstance(file, str) else file
        self._left_bytes = _READ_BYTES_MAX
        self._known: dict[str, Function | None] = {}
        try:
            self._read_headers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._owned:
            self._owned = False
            os.close(self._fd)

    def __enter__(self) -> "Elf":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def functions(self, *names: str) -> dict[str, Function]:
        """Those of these names that it has, whether exported or not. Best asked for together."""
        unknown = set(names) - self._known.keys()
        if unknown:
            self._known |= dict.fromkeys(unknown) | self._looked_up(unknown)
        return {name: found for name in names if (found := self._known[name])}

    def offset(self, address: int) -> int:
        """Raises ElfError."""
        for start, size, offset in self._loaded:
            if start <= address < start + size:
                return address - start + offset
        raise ElfError(f"address {address:#x} is not in the file")

    def bytes_at(self, address: int, size: int) -> bytes:
        return self._read(self.offset(address), size)

    def section(self, name: str) -> tuple[int, int] | None:
        """Its address and size."""
        found = self._named(name)
        return (found.address, found.size) if found else None

    def called_with(self, *texts: str) -> list[set[int]]:
        """Of each string: functions that are called right after its address was loaded."""
        called: dict[bytes, set[int]] = {text.encode(): set() for text in texts}
        code = self._named(".text")
        if self.machine == X86_64 and code is not None:
            places = self._places(called)
            for loaded, following, address in self._loads(code) if places else ():
                if loaded in places:
                    called[places[loaded]] |= _next_call(following, address)
        return list(called.values())

    def _loads(self, code: _Section) -> Iterator[tuple[int, bytes, int]]:
        """Addresses that are loaded, the code from there on, and where that is."""
        count = 0
        for at, piece in self._pieces(code.offset, code.size, _CALL_BYTES_MAX):
            start = code.address + at - code.offset
            for match in _NEAR_LEA.finditer(piece, 0, _PIECE_BYTES + 2):
                begin, end = match.start(), match.start() + _LEA_BYTES
                count += 1
                if count > _LOADS_MAX:
                    raise ElfError("has too much code to search")
                if end <= len(piece):
                    (near,) = struct.unpack_from("<i", piece, begin + 3)
                    yield start + end + near, piece[begin : begin + _CALL_BYTES_MAX], start + begin

    def _places(self, texts: Collection[bytes]) -> dict[int, bytes]:
        """Addresses of strings that stand by themselves."""
        alone = {b"\0" + text + b"\0": text for text in texts}
        found = {}
        for section in self._sections:
            if section.kind == _PROGRAM_BITS and section.address and not section.flags & _CODE:
                before = max(section.offset - 1, 0)
                for text, at in self._search(before, section.size + 1, alone):
                    found[at + 1 - section.offset + section.address] = alone[text]
        return found

    def _looked_up(self, names: set[str]) -> dict[str, Function]:
        found: dict[str, Function] = {}
        tables = [each for each in self._sections if each.kind in _SYMBOL_TABLES]
        for table in tables[:_TABLES_MAX]:
            if len(found) < len(names):
                found |= self._functions_of(table, names - found.keys())
        return found

    def _functions_of(self, table: _Section, names: set[str]) -> dict[str, Function]:
        strings = self._sections[table.link]
        if table.size > _SYMBOLS_MAX * _SYMBOL_BYTES or strings.size > _NAMES_BYTES_MAX:
            raise ElfError("has too many symbols")
        ends = {name.encode() + b"\0": name for name in names}
        # Linkers let names share their tails.
        wanted = {
            at - strings.offset: ends[text]
            for text, at in self._search(strings.offset, strings.size, ends)
        }
        found = {}
        step = _PIECE_BYTES // _SYMBOL_BYTES * _SYMBOL_BYTES
        for at in range(0, table.size, step) if wanted else ():
            rows = self._read(table.offset + at, min(step, table.size - at))
            for name_at, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", rows):
                if name_at in wanted and section and info & 15 in _FUNCTION_KINDS:
                    found[wanted[name_at]] = Function(value, size)
        return found

    def _named(self, name: str) -> _Section | None:
        text = name.encode() + b"\0"
        for section in self._sections:
            if self._titles.startswith(text, section.title):
                return section
        return None

    def _read_headers(self) -> None:
        header = self._read(0, _HEADER_BYTES)
        kind, self.machine = struct.unpack_from("<HH", header, 16)
        if header[:6] != b"\x7fELF\x02\x01" or kind not in _KINDS:
            raise ElfError("is no 64-bit ELF file")
        segments_at, sections_at = struct.unpack_from("<QQ", header, 32)
        segment_bytes, segments, section_bytes, sections, titles = struct.unpack_from(
            "<HHHHH", header, 54
        )
        if (segment_bytes, section_bytes) != (_SEGMENT_BYTES, _SECTION_BYTES):
            raise ElfError("has headers of another size")
        if segments > _SEGMENTS_MAX or sections > _SECTIONS_MAX:
            raise ElfError("has too many sections")
        self._loaded: list[tuple[int, int, int]] = [
            (address, size, offset)
            for kind, _, offset, address, _, size, _, _ in struct.iter_unpack(
                "<IIQQQQQQ", self._read(segments_at, segments * _SEGMENT_BYTES)
            )
            if kind == _LOAD
        ]
        self._sections = [
            _Section(*row[:7])
            for row in struct.iter_unpack(
                "<IIQQQQIIQQ", self._read(sections_at, sections * _SECTION_BYTES)
            )
        ]
        table = self._sections[titles]
        self._titles = self._read(table.offset, min(table.size, _TITLES_BYTES_MAX))

    def _search(
        self, offset: int, size: int, texts: Collection[bytes]
    ) -> Iterator[tuple[bytes, int]]:
        """Where in the file these are, in this part of it."""
        count = 0
        for start, piece in self._pieces(offset, size, max(map(len, texts)) - 1):
            for text in texts:
                at = piece.find(text)
                while 0 <= at < _PIECE_BYTES:
                    count += 1
                    if count > _PLACES_MAX:
                        raise ElfError("has the same text too often")
                    yield text, start + at
                    at = piece.find(text, at + 1)

    def _pieces(self, offset: int, size: int, more: int) -> Iterator[tuple[int, bytes]]:
        """Each with the beginning of the next one."""
        for at in range(offset, offset + size, _PIECE_BYTES):
            yield at, self._read(at, min(_PIECE_BYTES + more, offset + size - at))

    def _read(self, offset: int, size: int) -> bytes:
        if size > min(self._left_bytes, _AT_ONCE_BYTES_MAX):
            raise ElfError("has more to read than is looked at")
        self._left_bytes -= size
        read = os.pread(self._fd, size, offset)
        if len(read) < size:
            raise ElfError("ends too early")
        return read


def _next_call(code: bytes, address: int) -> set[int]:
    try:
        for number, each in enumerate(x86.instructions(code, address)):
            if each.goes_to is not None:
                return {each.goes_to}
            if number == _CALL_INSTRUCTIONS_MAX:
                break
    except ValueError:
        pass
    return set()
