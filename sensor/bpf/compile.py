"""Compiles and loads the kernel programs: python -m sensor.bpf.compile SOCKET RING_BYTES MULTI.

A process of its own, as BCC brings a compiler along (some 150 MB): it hands the descriptors of what
it loaded through the socket and ends, what it wrote to standard error is why it could not.
"""

import importlib.util
import json
import os
import socket
import sys
from pathlib import Path
from types import ModuleType

from sensor.bpf import btf, kernel

HERE = Path(__file__).parent
SOURCES = (
    "tap.bpf.h", "process.bpf.c", "openssl.bpf.c", "gnutls.bpf.c", "secrets.bpf.c", "gotls.bpf.c",
)  # fmt: skip
BCC = Path("/usr/lib/python3/dist-packages/bcc")  # where Debian has it, for its own Python
MAPS = ("ring", "losses", "names", "births", "traced")
_TRACEPOINT_PREFIX = "on_"  # programs of raw tracepoints
_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of linux/proc_ns.h


def has_bcc() -> bool:
    return (BCC / "__init__.py").exists() or importlib.util.find_spec("bcc") is not None


def load_bcc() -> ModuleType:
    """Of the system's packages BCC alone: a virtual environment has its own others."""
    place = BCC / "__init__.py"
    if not place.exists():
        return importlib.import_module("bcc")
    spec = importlib.util.spec_from_file_location(
        "bcc", place, submodule_search_locations=[str(BCC)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bcc"] = module
    spec.loader.exec_module(module)
    return module


def source() -> str:
    return "".join((HERE / name).read_text(encoding="utf-8") for name in SOURCES)


def flags(ring_bytes: int) -> list[str]:
    defined = {"RING_PAGES": ring_bytes // os.sysconf("SC_PAGE_SIZE")} | btf.socket_offsets()
    namespace = os.stat("/proc/self/ns/pid")
    if namespace.st_ino != _FIRST_PID_NAMESPACE:
        defined |= {"PID_NAMESPACE": namespace.st_ino, "PID_NAMESPACE_DEVICE": namespace.st_dev}
    return [f"-I{HERE.parent / 'core'}", *(f"-D{name}={value}" for name, value in defined.items())]


def main() -> int:
    receiver = socket.socket(fileno=int(sys.argv[1]))
    bcc = load_bcc()
    loaded = bcc.BPF(text=source().encode(), cflags=flags(int(sys.argv[2])))
    names = [
        bcc.lib.bpf_function_name(loaded.module, number).decode()
        for number in range(bcc.lib.bpf_num_functions(loaded.module))
    ]
    raw = (bcc.BPF.RAW_TRACEPOINT, None, -1)
    probe = (bcc.BPF.KPROBE, None, kernel.UPROBE_MULTI if int(sys.argv[3]) else -1)
    programs = {
        name: loaded.load_func(
            name.encode(), *(raw if name.startswith(_TRACEPOINT_PREFIX) else probe)
        ).fd
        for name in names
    }
    fds = programs | {name: loaded[name.encode()].map_fd for name in MAPS}
    socket.send_fds(receiver, [json.dumps(list(fds)).encode()], list(fds.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
