"""Where BCC finds headers to compile with: the running kernel's, or any other's.

The programs use UAPI types and pt_regs alone, so another version's headers do as well.
"""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

KHEADERS = Path("/sys/kernel/kheaders.tar.xz")  # BCC unpacks it itself
_ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}
_SOURCES = Path("/usr/src")
_MODULES = Path("/lib/modules")


def architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def found() -> str:
    """In words, or "" where there are none."""
    if given := os.environ.get("BCC_KERNEL_SOURCE"):
        return f"BCC_KERNEL_SOURCE={given}"
    own = _own()
    if os.path.isdir(own):
        return str(own)
    if os.path.exists(KHEADERS):
        return str(KHEADERS)
    return ", ".join(map(str, next(_others(), ())))


def hidden() -> bool:
    """Are some there that this process may not see, as systemd's ProtectKernelModules has it?"""
    try:
        os.scandir(_MODULES).close()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextmanager
def environment() -> Iterator[dict[str, str]]:
    """What BCC is to be told by environment variables; made for as long as it compiles."""
    if os.environ.get("BCC_KERNEL_SOURCE") or os.path.isdir(_own()) or os.path.exists(KHEADERS):
        yield {}
        return
    trees = next(_others(), ())
    with TemporaryDirectory(prefix="hoptap-headers-") as merged:
        for part in ("include", f"arch/{architecture()}/include"):
            _merge(Path(merged, part), [tree / part for tree in trees])
        yield {"BCC_KERNEL_SOURCE": merged} if trees else {}


def _own() -> Path:
    return _MODULES / platform.release() / "build"


def _others() -> Iterator[tuple[Path, ...]]:
    """Trees of another kernel's headers that make a whole, newest version first.

    Debian splits them: `-common` has what is written, the flavour what was generated.
    """
    generated = Path("include/generated/autoconf.h")
    for tree in sorted(_trees(), key=_version, reverse=True):
        if not os.path.exists(tree / generated):
            continue
        if os.path.exists(tree / "include/linux/types.h"):
            yield (tree,)
        for common in _matching(_SOURCES, "linux-headers-*-common"):
            if tree.name.startswith(common.name.removesuffix("common")):
                yield tree, common


def _trees() -> Iterator[Path]:
    yield from _matching(_SOURCES, "linux-headers-*")
    yield from _matching(_SOURCES, "kernels/*")
    yield from _matching(_MODULES, "*/build")


def _matching(directory: Path, pattern: str) -> list[Path]:
    """What may not be looked at is as if it were not there."""
    try:
        return list(directory.glob(pattern))
    except OSError:
        return []


def _version(tree: Path) -> list[int]:
    digits = "".join(letter if letter.isdigit() else " " for letter in str(tree))
    return [int(number) for number in digits.split()]


def _merge(into: Path, parts: list[Path]) -> None:
    into.mkdir(parents=True)
    for part in parts:
        for entry in _matching(part, "*"):
            link = into / entry.name
            if not link.is_symlink():
                link.symlink_to(entry)
