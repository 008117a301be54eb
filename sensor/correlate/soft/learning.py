"""Expectation and maximisation: assignments are sampled under a model, the model is made of them.

Edges that a hard key decided have no other option and so count fully; each site's exact edges train
what is said of the others.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sensor import _core
from sensor.correlate.soft.kinds import service_class
from sensor.correlate.soft.model import Model, Tally, span_ns
from sensor.correlate.soft.targets import Targets
from sensor.correlate.soft.window import NOBODY, Window

if TYPE_CHECKING:
    from sensor._core import CausesWindow

# Of its sweeps, a quarter more come first to forget where it began; every fourth is tallied.
_TALLY_EVERY = 4
# Inverse temperatures at which the most probable assignment freezes.
_COLDER = (1.5, 2.5, 5.0, 20.0)
_COLD_SWEEPS = 10
_VOTE_LEAST = 0.001


@dataclass(frozen=True, slots=True)
class Effort:
    rounds: int = 8
    sweeps: int = 60
    final_sweeps: int = 240


class Sampler:
    """A window under a model: probabilities of all options, and the most probable assignment."""

    def __init__(
        self,
        window: Window,
        targets: Targets,
        among: dict[str, float],
        bonus: dict[tuple[int, int], float],
    ) -> None:
        """`among`: targets at each class of services; `bonus`: log-odds of (child, parent)."""
        self.window, self._targets, self._among = window, targets, among
        size = len(window.options.parent)
        self.seen = array("d", bytes(8 * size))  # shares of the last sample
        self._share = array("d", bytes(8 * size))
        self._log = array("d", bytes(8 * size))
        self._base = _base_log(window, bonus)

    def weigh(self, model: Model, *, own_votes: bool, lost: float = 0.0) -> None:
        """What the options are worth before any sibling is looked at, and how often to try each.

        `lost` is the share of parents that are known to have been lost.
        """
        window = self.window
        for child in range(len(window.children)):
            kind = window.child_kind[child]
            total = self._own_votes(child) if own_votes else {}
            options = window.span_of(child)
            if len(options) == 1:
                continue
            for option in options:
                if window.options.parent[option] == NOBODY:
                    self._log[option] = self._base[option] + model.rate_log(kind, lost)
                else:
                    self._log[option] = self._base[option] + self._odds(child, option, total)
        seen = self.seen if own_votes else None
        _core.causes_propose(self._arrays(), model.tables(), window.held, seen, self._share)

    def _odds(self, child: int, option: int, own: dict[str, float]) -> float:
        window = self.window
        parent = window.parents[window.options.parent[option]]
        target = window.children[child].target
        if not target or not parent.target:
            return 0.0
        return self._targets.odds_log(
            target,
            parent.target,
            window.options.relation[option],
            self._among.get(service_class(parent.callee), 1.0),
            (own.get(parent.target, 0.0), sum(own.values())),
        )

    def _own_votes(self, child: int) -> dict[str, float]:
        votes: dict[str, float] = {}
        for _, parent, weight in self._votes_of(child):
            votes[parent] = votes.get(parent, 0.0) + weight
        return votes

    def _votes_of(self, child: int) -> Iterator[tuple[str, str, float]]:
        window = self.window
        target = window.children[child].target
        for option in window.span_of(child):
            parent = window.options.parent[option]
            if target and parent != NOBODY and self.seen[option] > _VOTE_LEAST:
                of_parent = window.parents[parent].target
                if of_parent:
                    yield target, of_parent, self.seen[option]

    def vote(self) -> None:
        for child in range(len(self.window.children)):
            for target, parent, weight in self._votes_of(child):
                self._targets.vote(target, parent, weight)

    def begin(self, model: Model) -> None:
        """From nothing: each child where it fits best, in the order of time."""
        _core.causes_greedy(self._arrays(), model.tables(), self.window.held)

    def sample(self, model: Model, sweeps: int, seed: int, tally: Tally | None = None) -> None:
        """Shares of the options; `tally` adds up what `samples_of(sweeps)` of the sweeps held."""
        arrays, held, tables = self._arrays(), self.window.held, model.tables()
        into = tally.arrays() if tally else None
        seen = array("d", bytes(8 * len(self.seen)))
        _core.causes_sample(arrays, tables, held, sweeps // 4, 1.0, 2 * seed, None, None, 1)
        _core.causes_sample(
            arrays, tables, held, sweeps, 1.0, 2 * seed + 1, seen, into, _TALLY_EVERY
        )
        self.seen = array("d", (each / sweeps for each in seen))

    def coldest(self, model: Model, seed: int, colder: Sequence[float] = _COLDER) -> "array[int]":
        """The option of each child in the most probable assignment of all."""
        held = array("i", self.window.held)
        arrays, tables = self._arrays(), model.tables()
        for cold in colder:
            _core.causes_sample(arrays, tables, held, _COLD_SWEEPS, cold, seed, None, None, 1)
        return held

    def orphans(self) -> list[float]:
        """Children of each kind that nobody seen caused."""
        sums = [0.0] * self.window.kinds.kind_count
        for child, kind in enumerate(self.window.child_kind):
            sums[kind] += self.seen[self.window.options.start[child + 1] - 1]
        return sums

    def _arrays(self) -> "CausesWindow":
        return self.window.arrays(self._log, self._share)


def learn(
    sampler: Sampler, model: Model, targets: Targets, effort: Effort, *, afresh: bool = True
) -> None:
    """`model` and the votes of `targets` are those of the window afterwards."""
    for number in range(effort.rounds):
        sampler.weigh(model, own_votes=number > 0)
        if number < (2 if afresh else 1):
            sampler.begin(model)
        tally = model.tally()
        sampler.sample(model, effort.sweeps, number, tally)
        samples = effort.sweeps // _TALLY_EVERY
        model.learn(tally, samples, sampler.orphans(), span_ns(sampler.window))
        targets.forget()
        sampler.vote()


def _base_log(window: Window, bonus: dict[tuple[int, int], float]) -> "array[float]":
    base = array("d", window.options.log)
    for child in range(len(window.children)) if bonus else ():
        for option in window.span_of(child):
            base[option] += bonus.get((child, window.options.parent[option]), 0.0)
    return base
