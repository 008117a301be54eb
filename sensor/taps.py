"""The configured taps of a live run: opened together, looked after each second.

BCC is imported when there is a tap: without it everything else works.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from sensor.exits import ConfigError, HoptapError
from sensor.metrics import Counted, Metrics
from sensor.tap_settings import KEYS, TapSettings

if TYPE_CHECKING:
    from sensor.bpf import Mode, Tap

REFRESH_EVERY_S = 1.0  # how long a new process may run untraced


class Taps:
    def __init__(self, settings: Sequence[TapSettings]) -> None:
        """Opens each. Raises HoptapError, with nothing left open."""
        self._settings = settings
        self._taps: list[Tap] = []
        self._lost: Mapping[str, int] = {}
        self._closed = False
        self._refresh_next = time.monotonic() + REFRESH_EVERY_S
        try:
            for number, each in enumerate(settings):
                self._taps.append(_tap(number, each))
                self._taps[-1].open()
        except BaseException:
            self.close()
            raise

    @property
    def ring_fd(self) -> int:
        """-1: there is no tap."""
        return self._taps[0].ring_fd if self._taps else -1

    def turn(self) -> None:
        """Often; looks for new processes when it is time."""
        now = time.monotonic()
        if now >= self._refresh_next:
            self._refresh_next = now + REFRESH_EVERY_S
            for tap in self._taps:
                tap.refresh()

    def say_unsaid(self) -> None:
        """What had no room in the ring is put there, for the last look into it."""
        with suppress(HoptapError, OSError):
            for tap in self._taps[:1]:
                tap.say_unsaid()

    def problem(self) -> str:
        """Why something is not seen now, or ""."""
        named = zip(self._settings, self._taps, strict=True)
        return "; ".join(f"tap {each.id}: {tap.problem}" for each, tap in named if tap.problem)

    def processes(self) -> int:
        return len({pid for tap in self._taps for pid in tap.processes})

    def losses(self) -> Mapping[str, int]:
        """Of all taps, by `<reason>_events` and `<reason>_bytes`."""
        with suppress(HoptapError, OSError):  # a tap that was closed meanwhile
            total: Counter[str] = Counter()
            for tap in self._taps if not self._closed else ():
                total.update(tap.losses())
            self._lost = total or self._lost
        return self._lost

    def show(self, metrics: Metrics) -> None:
        if not self._taps:
            return
        metrics.counted += [
            _Lost("hoptap_tap_lost_events_total", "Calls that taps did not see whole.", self),
            _Lost("hoptap_tap_lost_bytes_total", "Bytes in them that were lost.", self),
        ]
        help_text = "Processes that taps trace now."
        metrics.gauges["hoptap_tap_processes"] = (help_text, self.processes)

    def close(self) -> None:
        """Nothing is left in the kernel; what was lost stays known."""
        self.losses()
        self._closed = True
        for tap in reversed(self._taps):
            tap.close()


def _tap(number: int, settings: TapSettings) -> "Tap":
    try:
        from sensor import bpf
    except ImportError as error:
        raise ConfigError(f"tap {settings.id}: {error}; see hoptap check") from None
    mode: Mode = "keys" if settings.mode == KEYS else "plaintext"
    admission = bpf.Admission(settings.exe, settings.uid(), settings.any_owner)
    return bpf.Tap(number, settings.target, mode, settings.machine_wide, admission)


class _Lost(Counted):
    """Counted in the kernel; read at each scrape."""

    def __init__(self, name: str, help_text: str, taps: Taps) -> None:
        super().__init__(name, help_text, ("reason",))
        self._suffix = "_events" if "_events_" in name else "_bytes"
        self._taps = taps

    def rows(self) -> list[tuple[tuple[str, ...], int]]:
        return [
            ((name.removesuffix(self._suffix),), count)
            for name, count in self._taps.losses().items()
            if name.endswith(self._suffix)
        ]
