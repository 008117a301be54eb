"""Bytes that the capture missed, told as few records as the sight of an auditor needs."""

from collections import OrderedDict
from dataclasses import dataclass

from sensor.flows import Flow
from sensor.records import Tls

# Gaps of a flow this close together are one time of blindness.
TOGETHER_NS = 10**9


@dataclass(slots=True)
class Gap:
    flow: Flow
    first_ns: int
    last_ns: int
    size_bytes: int
    tls: Tls | None = None


class Gaps:
    def __init__(self) -> None:
        self._open: OrderedDict[Flow, Gap] = OrderedDict()  # the longest quiet first

    def __len__(self) -> int:
        return len(self._open)

    def add(self, flow: Flow, size_bytes: int, time_ns: int, tls: Tls | None = None) -> list[Gap]:
        """The flow's gap before this one, if that was another."""
        gap = self._open.get(flow)
        if gap is not None and time_ns - gap.last_ns <= TOGETHER_NS:
            gap.size_bytes += size_bytes
            gap.last_ns = max(gap.last_ns, time_ns)
            self._open.move_to_end(flow)
            return []
        self._open[flow] = Gap(flow, time_ns, time_ns, size_bytes, tls)
        self._open.move_to_end(flow)
        return [] if gap is None else [gap]

    def end(self, flow: Flow) -> list[Gap]:
        gap = self._open.pop(flow, None)
        return [] if gap is None else [gap]

    def over(self, now_ns: int) -> list[Gap]:
        """Gaps that nothing can be added to any more."""
        found = []
        while self._open:
            gap = next(iter(self._open.values()))
            if now_ns - gap.last_ns <= TOGETHER_NS:
                break
            found.append(self._open.popitem(last=False)[1])
        return found

    def all(self) -> list[Gap]:
        found = list(self._open.values())
        self._open.clear()
        return found
