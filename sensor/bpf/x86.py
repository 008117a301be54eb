"""How long x86-64 instructions are, and the little of their meaning that a tap needs.

Enough for what compilers make of C and Go (Intel SDM volume 2, chapter 2 and appendix A). What is
unknown ends the walk: a wrong guess would put a probe into the middle of an instruction.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_PREFIXES = frozenset(b"\x66\x67\xf2\xf3\xf0\x2e\x36\x3e\x26\x64\x65")
_IMMEDIATE = {"": 0, "b": 1, "w": 2, "wb": 3, "d": 4}


def _table(*rows: tuple[str, bool, str]) -> dict[int, tuple[bool, str]]:
    """Opcodes (`a` or `a-b`, hexadecimal) -> has a ModRM byte, immediate."""
    table = {}
    for opcodes, has_modrm, immediate in rows:
        for part in opcodes.split():
            first, _, last = part.partition("-")
            for opcode in range(int(first, 16), int(last or first, 16) + 1):
                table[opcode] = has_modrm, immediate
    return table


# "z": 4 bytes, 2 after prefix 66. "v": 8 bytes after REX.W, else z. "o": an address. "t": of TEST.
_ONE = _table(
    ("0-3 8-b 10-13 18-1b 20-23 28-2b 30-33 38-3b 63 84-8f d0-d3 d8-df fe-ff", True, ""),
    ("4 c 14 1c 24 2c 34 3c 6a 70-7f a8 b0-b7 cd e0-e7 eb", False, "b"),
    ("5 d 15 1d 25 2d 35 3d 68 a9", False, "z"),
    ("69 81 c7", True, "z"), ("6b 80 83 c0-c1 c6", True, "b"),
    ("6c-6f 50-5f 90-99 9b-9f a4-a7 aa-af c3 c9 cb cc cf d7 ec-ef f1 f4-f5 f8-fd", False, ""),
    ("a0-a3", False, "o"), ("b8-bf", False, "v"), ("c2 ca", False, "w"), ("c8", False, "wb"),
    ("e8-e9", False, "d"), ("f6-f7", True, "t"),
)  # fmt: skip
_TWO = _table(
    ("0-3 d 10-2f 40-6f 74-76 78-7f 90-9f a3 a5 ab ad-af b0-b9 bb-c1 c3 c7 d0-ff", True, ""),
    ("5-9 b e 30-37 77 a0-a2 a8-aa c8-cf", False, ""),
    ("70-73 a4 ac ba c2 c4-c6 f", True, "b"), ("80-8f", False, "d"),
)  # fmt: skip
_RET, _RET_BYTES, _CALL, _JUMP, _LEA, _MOV_FROM = 0xC3, 0xC2, 0xE8, 0xE9, 0x8D, 0x8B
_RIP = -1  # as the base of an address


@dataclass(frozen=True, slots=True)
class Instruction:
    start: int
    end: int
    opcode: int  # of the one-byte map, else -1
    register: int = 0
    base: int | None = None  # register of a plain `disp(base)`, _RIP, None of anything else
    displacement: int = 0  # of the address or the relative jump

    @property
    def returns(self) -> bool:
        return self.opcode in (_RET, _RET_BYTES)

    @property
    def goes_to(self) -> int | None:
        """Where a direct call or a long jump leads."""
        return self.end + self.displacement if self.opcode in (_CALL, _JUMP) else None

    @property
    def address_of(self) -> tuple[int, int] | None:
        """LEA: base register and displacement."""
        return self._operand(_LEA)

    @property
    def loads_from(self) -> tuple[int, int] | None:
        """MOV from memory to a register: base register and displacement."""
        return self._operand(_MOV_FROM)

    @property
    def points_to(self) -> int | None:
        """LEA of a place that is told relative to the instruction."""
        near = self.opcode == _LEA and self.base == _RIP
        return self.end + self.displacement if near else None

    def _operand(self, opcode: int) -> tuple[int, int] | None:
        if self.opcode != opcode or self.base in (None, _RIP):
            return None
        assert self.base is not None
        return self.base, self.displacement


def instructions(code: bytes, address: int = 0) -> Iterator[Instruction]:
    """From `address` on, where `code` lies. Raises ValueError at what is unknown."""
    at = 0
    while at < len(code):
        try:
            decoded = _decode(code, at, address)
        except (IndexError, KeyError):
            raise ValueError(f"unknown instruction at {address + at:#x}") from None
        yield decoded
        at = decoded.end - address


def _decode(code: bytes, start: int, address: int) -> Instruction:
    at, narrow, wide, short_address = start, False, False, False
    while code[at] in _PREFIXES:
        narrow |= code[at] == 0x66
        short_address |= code[at] == 0x67
        at += 1
    rex = code[at] if code[at] & 0xF0 == 0x40 else 0
    at += rex != 0
    wide = bool(rex & 8)
    at, opcode, (has_modrm, immediate) = _opcode(code, at)
    register, base, displacement = 0, None, 0
    if has_modrm:
        register = code[at] >> 3 & 7
        if immediate == "t":
            immediate = ("b" if opcode == 0xF6 else "z") if register < 2 else ""
        at, base, displacement = _address(code, at)
        if base is not None and base >= 0:
            base |= (rex & 1) << 3
        register |= (rex & 4) << 1
    size = _immediate_bytes(immediate, narrow, wide, short_address)
    if opcode in (_CALL, _JUMP):
        displacement = int.from_bytes(code[at : at + 4], "little", signed=True)
    if at + size > len(code):
        raise IndexError
    return Instruction(address + start, address + at + size, opcode, register, base, displacement)


def _opcode(code: bytes, at: int) -> tuple[int, int, tuple[bool, str]]:
    """Behind it, the opcode where it is of the one-byte map, its row."""
    first = code[at]
    if first in (0xC4, 0xC5, 0x62):  # VEX and EVEX prefixes name the map
        which = 1 if first == 0xC5 else code[at + 1] & (0x1F if first == 0xC4 else 7)
        at += {0xC5: 2, 0xC4: 3, 0x62: 4}[first]
        return at + 1, -1, {1: _TWO[code[at]], 2: (True, ""), 3: (True, "b")}[which]
    if first != 0x0F:
        return at + 1, first, _ONE[first]
    second = code[at + 1]
    if second == 0x38:
        return at + 3, -1, (True, "")
    if second == 0x3A:
        return at + 3, -1, (True, "b")
    return at + 2, -1, _TWO[second]


def _address(code: bytes, at: int) -> tuple[int, int | None, int]:
    """Behind ModRM, SIB and displacement; the base of a plain address; the displacement."""
    mode, low = code[at] >> 6, code[at] & 7
    base: int | None = low
    at += 1
    if mode == 3:
        return at, None, 0
    size = (0, 1, 4)[mode]
    if low == 4:
        indexed = code[at] & 0x38 != 0x20
        base = None if indexed else code[at] & 7
        size = 4 if mode == 0 and code[at] & 7 == 5 else size
        at += 1
    elif low == 5 and mode == 0:
        base, size = _RIP, 4
    value = code[at : at + size]
    return at + size, base, int.from_bytes(value, "little", signed=True)


def _immediate_bytes(immediate: str, narrow: bool, wide: bool, short_address: bool) -> int:
    if immediate == "o":
        return 4 if short_address else 8
    if immediate == "v" and wide:
        return 8
    if immediate in ("z", "v"):
        return 2 if narrow and not wide else 4
    return _IMMEDIATE[immediate]
