"""Functions of a Go program, also of one without symbols: its own table of them stays.

Layout: src/internal/abi/symtab.go and src/debug/gosym/pclntab.go of Go 1.18 and later.
"""

import struct

from sensor.bpf.elf import Elf, ElfError, Function

_SECTIONS = (".gopclntab", ".data.rel.ro.gopclntab")
_MAGIC_118, _MAGIC_120 = 0xFFFFFFF0, 0xFFFFFFF1
_FUNCTIONS_MAX = 1 << 21


def is_go(file: Elf) -> bool:
    return any(file.section(name) for name in _SECTIONS)


def functions(file: Elf, *names: str) -> dict[str, Function]:
    """Those of these names that it has. Raises ElfError."""
    place = next(filter(None, map(file.section, _SECTIONS)), None)
    if place is None:
        raise ElfError("is no Go program")
    table = file.bytes_at(*place)
    return _functions(file, table, set(names))


def _functions(file: Elf, table: bytes, names: set[str]) -> dict[str, Function]:
    (magic,) = struct.unpack_from("<I", table)
    if magic not in (_MAGIC_118, _MAGIC_120):
        raise ElfError("was built by Go 1.17 or earlier")
    count, _, text, names_at, _, _, _, rows_at = struct.unpack_from("<8Q", table, 8)
    if count > _FUNCTIONS_MAX:
        raise ElfError("has a damaged table of functions")
    text = text or _text(file)
    wanted = {_name_at(table, names_at, name) - names_at: name for name in names}
    found: dict[str, Function] = {}
    if wanted.keys() == {-1}:
        return found
    for number in range(count):
        entry, details, following = struct.unpack_from("<III", table, rows_at + 8 * number)
        (name_at,) = struct.unpack_from("<i", table, rows_at + details + 4)
        if name_at in wanted:
            found[wanted[name_at]] = Function(text + entry, following - entry)
    return found


def _name_at(table: bytes, names_at: int, name: str) -> int:
    """-1 where it has no function of this name, which then is nobody's."""
    at = table.find(b"\0" + name.encode() + b"\0", names_at)
    return at + 1 if at >= 0 else names_at - 1


def _text(file: Elf) -> int:
    """Where the table's offsets count from, if it does not say: position-independent programs."""
    symbol = file.functions("runtime.text").get("runtime.text")
    section = file.section(".text")
    if symbol is None and section is None:
        raise ElfError("has no code")
    return symbol.address if symbol else section[0] if section else 0
