"""What the core says of an interface with packets cut by the kernel, and without, side by side.

    python -m tests.lab.watching INTERFACE [PORT...]

Says `ready` when both listen, and at SIGTERM one JSON object: events, counters and statistics.
"""

import json
import signal
import sys
import time
from typing import Any

from sensor import _core
from sensor.settings import Settings

FILL_MS = 20
SETTLE_S = 0.3  # what the kernel holds is handed over within a block's time-out


def opened(interface: str, ports: tuple[int, ...], cut: bool) -> _core.Source:
    interest = _core.Interest()
    limits = {name: getattr(Settings().limits, name) for name in _core.LIMITS}
    return _core.Source(interest, limits, interfaces=(interface,), ports=ports, cut=cut)


def timeless(kind: int, value: Any) -> Any:
    """Two sockets give a packet two times."""
    return (*value[:4], *value[5:]) if kind == _core.MESSAGE else value


def watch(interface: str, ports: tuple[int, ...]) -> dict[str, Any]:
    sources = {name: opened(interface, ports, name == "cut") for name in ("cut", "whole")}
    events: dict[str, list[Any]] = {name: [] for name in sources}
    ends: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: ends.append(time.monotonic() + SETTLE_S))
    print("ready", flush=True)
    open_ones = dict(sources)
    while open_ones:
        for name, source in list(open_ones.items()):
            batch = source.fill(FILL_MS)
            events[name] += [
                (kind, flow, direction, repr(timeless(kind, value)))
                for kind, flow, direction, _, _, value in batch
            ]
            if batch.end:
                del open_ones[name]
            elif ends and time.monotonic() > ends[0]:
                source.stop()
    return {
        name: {
            "events": events[name],
            "counters": source.counters(),
            "stats": source.source_stats()[0],
        }
        for name, source in sources.items()
    }


if __name__ == "__main__":
    print(json.dumps(watch(sys.argv[1], tuple(map(int, sys.argv[2:])))))
