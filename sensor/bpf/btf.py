"""Offsets of fields in the running kernel's structures, from its type information (BTF).

Layout: Documentation/bpf/btf.rst of the kernel.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

KERNEL = Path("/sys/kernel/btf/vmlinux")
_MAGIC = 0xEB9F
_STRUCT, _UNION = 4, 5
# Bytes that follow a type of this kind: fixed, and for each of its members.
_FIXED_BYTES = {1: 4, 3: 12, 14: 4, 17: 4}
_MEMBER_BYTES = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}

# What tap.bpf.h calls it -> structure and field.
SOCKET_FIELDS = {
    "TASK_FILES": ("task_struct", "files"),
    "TASK_TGID": ("task_struct", "tgid"),
    "TASK_SIGNAL": ("task_struct", "signal"),
    "SIGNAL_LIVE": ("signal_struct", "live"),
    "FILES_TABLE": ("files_struct", "fdt"),
    "TABLE_MAX_FDS": ("fdtable", "max_fds"),
    "TABLE_FD": ("fdtable", "fd"),
    "FILE_PRIVATE": ("file", "private_data"),
    "SOCKET_FILE": ("socket", "file"),
    "SOCKET_SOCK": ("socket", "sk"),
    "SOCK_FAMILY": ("sock_common", "skc_family"),
    "SOCK_LOCAL_PORT": ("sock_common", "skc_num"),
    "SOCK_REMOTE_PORT": ("sock_common", "skc_dport"),
    "SOCK_LOCAL": ("sock_common", "skc_rcv_saddr"),
    "SOCK_REMOTE": ("sock_common", "skc_daddr"),
    "SOCK_LOCAL6": ("sock_common", "skc_v6_rcv_saddr"),
    "SOCK_REMOTE6": ("sock_common", "skc_v6_daddr"),
}


def socket_offsets(path: Path = KERNEL) -> dict[str, int]:
    """Of SOCKET_FIELDS; {} where the kernel does not tell all of them."""
    try:
        types = _Types(path.read_bytes())
    except (OSError, struct.error, ValueError):
        return {}
    wanted = {structure for structure, _ in SOCKET_FIELDS.values()}
    found = {name: types.fields(at) for name, at in types.structures() if name in wanted}
    offsets = {
        name: found.get(structure, {}).get(field)
        for name, (structure, field) in SOCKET_FIELDS.items()
    }
    known = {name: offset for name, offset in offsets.items() if offset is not None}
    return known if len(known) == len(SOCKET_FIELDS) else {}


class _Types:
    def __init__(self, data: bytes) -> None:
        magic, _, _, header, types, types_bytes, strings, _ = struct.unpack_from("<HBBIIIII", data)
        if magic != _MAGIC:
            raise ValueError("no BTF")
        self._data = data
        self._strings = header + strings
        self._starts = [0]  # type 0 is void
        at, end = header + types, header + types + types_bytes
        while at < end:
            self._starts.append(at)
            (info,) = struct.unpack_from("<I", data, at + 4)
            kind = info >> 24 & 0x1F
            at += 12 + _FIXED_BYTES.get(kind, 0) + _MEMBER_BYTES.get(kind, 0) * (info & 0xFFFF)

    def structures(self) -> Iterator[tuple[str, int]]:
        for at in self._starts[1:]:
            name, info = struct.unpack_from("<II", self._data, at)
            if info >> 24 & 0x1F == _STRUCT and name:
                yield self._name(name), at

    def fields(self, at: int, base_bits: int = 0) -> dict[str, int]:
        """Field -> its offset in bytes, those of unnamed members as their own."""
        (info,) = struct.unpack_from("<I", self._data, at + 4)
        if info >> 24 & 0x1F not in (_STRUCT, _UNION):
            return {}
        found = {}
        for number in range(info & 0xFFFF):
            name, kind, offset = struct.unpack_from("<III", self._data, at + 12 + 12 * number)
            bits = base_bits + (offset & 0xFFFFFF if info >> 31 else offset)
            if name:
                found[self._name(name)] = bits // 8
            else:
                found |= self.fields(self._starts[kind], bits)
        return found

    def _name(self, offset: int) -> str:
        start = self._strings + offset
        return self._data[start : self._data.index(0, start)].decode()
