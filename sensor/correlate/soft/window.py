"""Parents, children and their options, as the arrays that the core reads."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sensor.correlate.soft.kinds import Kinds, service_class
from sensor.correlate.soft.options import NOBODY, Options
from sensor.correlate.spans import Span

if TYPE_CHECKING:
    from sensor._core import CausesWindow


class Window:
    def __init__(
        self, parents: Sequence[Span], children: Sequence[Span], kinds: Kinds, options: Options
    ) -> None:
        """Children in the order of their start, options as numbers of parents."""
        self.parents, self.children, self.kinds, self.options = parents, children, kinds, options
        self.parent_row = array("i", [kinds.row(span) for span in parents])
        self.child_kind = array("i", [kinds.kind(span) for span in children])
        numbers: dict[str, int] = {}
        self._fixed = (
            array("q", [span.served_ns for span in parents]),
            array("q", [span.replied_ns for span in parents]),
            array("q", [span.done_ns for span in parents]),
            self.parent_row,
            array("q", [span.start_ns for span in children]),
            array("q", [span.end_ns for span in children]),
            array("q", [span.done_ns for span in children]),
            self.child_kind,
            array(
                "i",
                [
                    numbers.setdefault(span.target, len(numbers)) if span.target else -1
                    for span in children
                ],
            ),
            array("B", [span.failed for span in children]),
        )
        self.held = array("i", bytes(4 * len(children)))

    def arrays(self, log: "array[float]", share: "array[float]") -> "CausesWindow":
        return (*self._fixed, self.options.start, self.options.parent, log, share)

    def span_of(self, child: int) -> range:
        return range(self.options.start[child], self.options.start[child + 1])

    def parent_at(self, option: int) -> Span | None:
        parent = self.options.parent[option]
        return None if parent == NOBODY else self.parents[parent]

    def open_children(self) -> int:
        """Those that have a choice."""
        start = self.options.start
        return sum(start[i + 1] - start[i] > 1 for i in range(len(self.children)))


def targets_at(parents: Iterable[Span]) -> dict[str, float]:
    """How many targets the calls to services of a class have."""
    found: dict[str, set[str]] = defaultdict(set)
    for span in parents:
        found[service_class(span.callee)].add(span.target)
    return {service: float(len(targets)) for service, targets in found.items()}
