"""Learning a site anew, a little at each step, beside the decisions under what is known."""

from collections.abc import Sequence
from typing import Any

from sensor.correlate.soft.fitting import Site, fitting, roles
from sensor.correlate.soft.learning import Effort
from sensor.correlate.soft.model import Model
from sensor.correlate.soft.targets import Targets
from sensor.correlate.soft.work import Work
from sensor.correlate.spans import Span


class Study:
    """Its result depends on nothing but what it is given here; `known` stays as it is.

    So do `targets`: of them it takes what is known, and no votes.
    """

    def __init__(
        self,
        spans: Sequence[Span],
        targets: Targets,
        effort: Effort,
        known: Model | None = None,
        upkeep: Effort | None = None,
    ) -> None:
        self.spans, self.targets, self.effort = spans, targets, effort
        self.known, self.upkeep = known, upkeep
        self.pieces = 0  # done
        self.left_us = 0
        self._work: Work[Site] | None = None

    def work(self, some_us: int) -> Site | None:
        """What was learned, once it is; this much more may be spent on it, and what was left."""
        self.left_us += some_us
        steps = self._work = self._work or self._resumed()
        while self.left_us > 0:
            try:
                self.left_us -= next(steps)
            except StopIteration as end:
                site: Site = end.value
                return site
            self.pieces += 1
        return None

    def _resumed(self) -> Work[Site]:
        work = self._all()
        for _ in range(self.pieces):
            next(work)
        return work

    def _all(self) -> Work[Site]:
        yield 5 * len(self.spans)
        parents, children = roles(self.spans)
        known = self.known
        if known is not None:
            known = yield from known.copy()
        targets = self.targets.fresh()
        found = yield from fitting(parents, children, targets, self.effort, known, self.upkeep)
        return found.site

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_work": None}
