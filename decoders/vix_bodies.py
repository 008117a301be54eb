"""What a VIX request's body names: paths, keys, processes and accounts, as in vim25_guest.py.

Layouts are those of open-vm-tools' vixCommands.h: a packed fixed part, then strings, each with its
NUL. Program arguments, scripts, environment, values and certificates are not looked at.
"""

import re
import struct
from dataclasses import dataclass

from decoders.message import Target
from decoders.vix_opcodes import OPEN_VM, RUN_PROGRAM, START_PROGRAM

PATH_BYTES_MAX = 4096  # PATH_MAX of Linux
_FILE, _PROGRAM, _PROCESS = "GuestFile", "GuestProgram", "GuestProcess"
_KEY, _USER, _VARIABLE = "GuestRegistryKey", "GuestUser", "GuestVariable"
_SNAPSHOT = "VirtualMachineSnapshot"


@dataclass(frozen=True, slots=True)
class _Layout:
    fixed: struct.Struct
    lengths: tuple[int, ...]  # numbers of the fields that hold them, in order of the strings
    kinds: tuple[str, ...]  # of the strings up to the last that is named; "": passed over


def _layout(fixed: str, *strings: tuple[int, str]) -> tuple[_Layout, ...]:
    """`strings` are all that follow, in order: their lengths have to add up."""
    kinds = [kind for _, kind in strings]
    while not kinds[-1]:
        kinds.pop()
    return (_Layout(struct.Struct("<" + fixed), tuple(at for at, _ in strings), tuple(kinds)),)


_OBJECT = _layout("iI", (1, _FILE))
_OBJECT_KEY = _layout("iI", (1, _KEY))
_LIST = _layout("iIIiiQ", (1, _FILE), (2, ""))
_RENAME = _layout("iIII", (1, _FILE), (2, _FILE), (3, ""))
_RENAME_EX = _layout("iIIIB", (1, _FILE), (2, _FILE), (3, ""))
_TEMPORARY = _layout("iIIII", (1, ""), (2, ""), (3, _FILE), (4, ""))
_REGISTRY = _layout("IiI", (0, _KEY), (2, ""))
_LIST_KEYS = _layout("IIIIIBI", (3, _KEY), (6, ""))
_REMOVE_ALIAS = _layout("IIIiI", (1, _USER), (2, ""), (4, ""))
_SNAPSHOT_NAME = _layout("iBBII", (3, _SNAPSHOT), (4, ""))
_LAYOUTS = {
    RUN_PROGRAM: _layout("iII", (1, _PROGRAM), (2, "")),
    8: _REGISTRY,
    10: _REGISTRY,
    12: _RENAME,  # unverified: the layout of 76, under whose heading copies stand
    13: _RENAME,  # unverified, as 12
    14: _SNAPSHOT_NAME,
    18: _OBJECT,
    19: _OBJECT,
    22: _OBJECT_KEY,
    39: _SNAPSHOT_NAME,
    46: _layout("iIII", (1, _PROGRAM), (2, ""), (3, "")),
    70: _OBJECT,
    71: _OBJECT_KEY,
    72: _OBJECT,
    73: _OBJECT,
    76: _RENAME,
    77: _layout("iII", (1, _FILE), (2, "")),
    79: _OBJECT + _layout("iIq", (1, _FILE)),  # an option says which: the lengths do, too
    88: _layout("iiI", (2, _VARIABLE)),
    89: _layout("iiII", (2, _VARIABLE), (3, "")),
    94: _OBJECT,
    177: _LIST,
    178: _layout("iIIB", (1, _FILE), (2, "")),
    179: _RENAME_EX,
    180: _RENAME_EX,
    181: _TEMPORARY,
    182: _TEMPORARY,
    183: _layout("iqqiiiBBI", (8, _FILE)),
    START_PROGRAM: _layout("BIIIII", (1, _PROGRAM), (2, ""), (3, ""), (5, "")),
    188: _LIST + _OBJECT,
    189: _layout("iIB", (1, _FILE)),
    194: _OBJECT,
    195: _layout("iIIB", (1, _FILE), (2, "")),
    197: _layout("IIIBiII", (1, _USER), (2, ""), (5, ""), (6, "")),
    198: _REMOVE_ALIAS,
    199: _layout("II", (1, _USER)),
    201: _layout("IIIBI", (1, _KEY), (4, "")),
    202: _LIST_KEYS,
    203: _layout("IIIB", (1, _KEY)),
    204: _layout("IIIIII", (1, _KEY), (3, ""), (5, "")),
    205: _LIST_KEYS,
    206: _layout("IIII", (1, _KEY), (3, "")),
    207: _REMOVE_ALIAS,
}
_KILLS = frozenset((85, 193))
_PID = struct.Struct("<QI")
_OF_SNAPSHOT = frozenset((15, 16, 40))
_SNAPSHOT_ID = struct.Struct("<ii")
_RAN = struct.Struct("<iqq")  # exit code, elapsed time, pid
_CONFIG_FILE_END = re.compile(rb"\.vmx(?=\0|\Z)")
_CONFIG_FILE_BYTES_MAX = 1024
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def named_in(opcode: int, body: bytes) -> tuple[Target, ...]:
    if opcode in _KILLS:
        numbers = _unpack(_PID, body)
        return (Target(_PROCESS, str(numbers[0])),) if numbers else ()
    if opcode in _OF_SNAPSHOT:
        numbers = _unpack(_SNAPSHOT_ID, body)
        return (Target(_SNAPSHOT, str(numbers[1])),) if numbers else ()
    for layout in _LAYOUTS.get(opcode, ()):
        if named := _strings(layout, body):
            return tuple(named)
    return ()


def made_by(opcode: int, response: bytes) -> tuple[Target, ...]:
    """The process that a program's start returned, as far as the response's body says it."""
    if opcode == RUN_PROGRAM:
        numbers = _unpack(_RAN, response)
        return (Target(_PROCESS, str(numbers[2])),) if numbers and numbers[2] > 0 else ()
    if opcode == START_PROGRAM:  # a number as text; unverified
        text = response.rstrip(b"\0")
        return (Target(_PROCESS, text.decode()),) if _is_number(text) else ()
    return ()


def configuration_file(opcode: int, body: bytes) -> str:
    """The .vmx path that opening a VM names. Its layout is not published: the path is sought."""
    end = _CONFIG_FILE_END.search(body) if opcode == OPEN_VM else None
    if end is None:
        return ""
    before = body[max(0, end.end() - _CONFIG_FILE_BYTES_MAX) : end.end()]
    return _text(_CONTROL.split(before)[-1])


def machine_of(configuration: str) -> Target:
    """A machine's files are named after it when it is made; a host may run Windows."""
    file = configuration.replace("\\", "/").rpartition("/")[2].removesuffix(".vmx")
    name = file.rpartition("] ")[2] if file.startswith("[") else file
    return Target("VirtualMachine", name=name)


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 20


def _unpack(fixed: struct.Struct, body: bytes) -> tuple[int, ...]:
    return fixed.unpack_from(body) if len(body) >= fixed.size else ()


def _strings(layout: _Layout, body: bytes) -> list[Target]:
    """Every string must end where its length says, its NUL counted or not, and the body with them.

    So strict because what stands beside a path can be a secret: a layout that is not the body's
    must not find one.
    """
    numbers = _unpack(layout.fixed, body)
    lengths = [numbers[field] for field in layout.lengths] if numbers else []
    spare = len(body) - layout.fixed.size - sum(lengths)
    if not numbers or not 0 <= spare <= len(lengths):
        return []
    named: list[Target] = []
    at = layout.fixed.size
    for length, kind in zip(lengths, layout.kinds, strict=False):
        end = body.find(b"\0", at)
        if end < 0 or length - (end - at) not in (0, 1):
            return []
        if kind and (text := _text(body[at:end])):
            named.append(Target(kind, name=text))
        at = end + 1
    return named


def _text(name: bytes) -> str:
    try:
        text = name[: PATH_BYTES_MAX + 1].decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() and len(name) <= PATH_BYTES_MAX else ""
