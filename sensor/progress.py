"""A line on a terminal that says how far a replay is. Writes nothing where nobody watches."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

REDRAW_S = 0.2
BAR_CHARS = 24
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip (RFC 1952), zstd (RFC 8878)


class Progress:
    """`total_bytes` 0: how much there will be is not known (compressed, standard input)."""

    def __init__(
        self,
        total_bytes: int,
        out: TextIO = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total_bytes
        self._out = out
        self._clock = clock
        self._begun = clock()
        self._drawn = 0.0
        self._watched = out is not None and out.isatty()  # sys.stderr is None when closed
        self._on_screen = False

    def show(self, read: Callable[[], tuple[int, int]], records: int) -> None:
        """Redraw if it is time to; `read` gives packets and bytes so far."""
        now = self._clock()
        if not self._watched or now - self._drawn < REDRAW_S:
            return
        self._drawn = now
        packets, size = read()
        line = self._line(packets, size, records, now - self._begun)
        columns = os.get_terminal_size(self._out.fileno()).columns or 80  # 0: not known
        self._out.write("\r\033[K" + line[: max(0, columns - 1)])
        self._out.flush()
        self._on_screen = True

    def clear(self) -> None:
        """Take the line off the screen, before anything else is written there."""
        if self._on_screen:
            self._out.write("\r\033[K")
            self._out.flush()
            self._on_screen = False

    def _line(self, packets: int, size: int, records: int, elapsed_s: float) -> str:
        rate = size / elapsed_s if elapsed_s > 0 else 0.0
        done = f"{bytes_text(size)}  {packets:,} packets  {bytes_text(rate)}/s  {records:,} records"
        if not self._total:
            return done
        share = min(1.0, size / self._total)
        filled = round(share * BAR_CHARS)
        left_s = (self._total - size) / rate if rate else 0.0
        bar = "#" * filled + "." * (BAR_CHARS - filled)
        return f"[{bar}] {share:4.0%}  {done}  {max(0.0, left_s):.0f} s left"


def bytes_text(size: float) -> str:
    """`1.4 MB`: powers of ten, as rates are given."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def packet_bytes_in(files: Sequence[str]) -> int:
    """About how many packet bytes these files hold; 0 when that cannot be known beforehand."""
    total = 0
    for name in files:
        path = Path(name)
        if not path.is_file():  # a pipe must not be opened here: what is read of it is gone
            return 0
        try:
            with path.open("rb") as file:
                magic = file.read(4)
        except OSError:
            return 0
        if magic.startswith(_COMPRESSED):
            return 0
        total += path.stat().st_size
    return total
