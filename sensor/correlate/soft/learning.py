"""Expectation and maximisation: assignments are sampled under a model, the model is made of them.

Edges that a hard key decided have no other option and so count fully; each site's exact edges train
what is said of the others.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from sensor import _core
from sensor.correlate.soft.model import Model, Tally, span_ns
from sensor.correlate.soft.targets import Targets
from sensor.correlate.soft.window import Window
from sensor.correlate.soft.work import PIECE_US, Work

if TYPE_CHECKING:
    from sensor._core import CausesOptions, CausesVotes, CausesWindow

# Of its sweeps, a quarter more come first to forget where it began; every fourth is tallied.
_TALLY_EVERY = 4
# Microseconds: to score a parent, to sweep over a child that has a choice, to tally a parent, to
# weigh an option, to place one; to count a pair's votes.
_PARENT_US, _SWEEP_US, _TALLY_US, _OPTION_US, _GREEDY_US, _PAIR_US = 0.7, 0.6, 2.0, 0.25, 0.5, 0.8
_PAIRS_AT_ONCE = 4000


# A call that lost its parent is taken by another all too easily: whatever a parent did once it is
# expected to do again, at some time. So nobody is that much likelier than the rate says, but not in
# the first rounds, when nothing fits yet.
STRAY_LOG, _ROUGH_ROUNDS = 3.0, 3
# Calls of a kind from which a share is learned.
_CALLS_LEAST = 50
# Rounds go on while two of them make the assignments that much more certain.
_GAIN_LEAST = 0.0005


@dataclass(frozen=True, slots=True)
class Effort:
    rounds: int = 8
    sweeps: int = 60
    final_sweeps: int = 480
    rounds_max: int = 24


class Sampler:
    """A window under a model: probabilities of all options."""

    def __init__(
        self,
        window: Window,
        targets: Targets,
        among: dict[str, float],
        bonus: dict[tuple[int, int], float],
    ) -> None:
        """`among`: targets at each class of services; `bonus`: log-odds of (child, parent)."""
        self.window, self._targets = window, targets
        size = len(window.options.parent)
        self.seen = array("d", bytes(8 * size))  # shares of the last sample
        self._share = array("d", bytes(8 * size))
        self._log = array("d", bytes(8 * size))
        self._base = _base_log(window, bonus)
        self._among = array("d", [among.get(each[0], 1.0) for each in window.options.pairs])
        self.open_children = window.open_children()

    def weigh(
        self,
        model: Model,
        *,
        own_votes: bool,
        lost: float = 0.0,
        stray_log: float = STRAY_LOG,
    ) -> Work[None]:
        """What the options are worth before any sibling is looked at, and how often to try each.

        `lost` is the share of parents that are known to have been lost.
        """
        nobody = array("d", model.rate_logs(lost, stray_log))
        seen = self.seen if own_votes else None
        votes = yield from self._votes()
        yield self._options_us
        _core.causes_weigh(self._options(nobody), votes, seen, self._log)
        yield self._options_us
        _core.causes_propose(self._arrays(), model.tables(), self.window.held, seen, self._share)

    def propose(self, model: Model) -> None:
        """From now on what was held in the last sample, above all."""
        arrays, tables = self._arrays(), model.tables()
        _core.causes_propose(arrays, tables, self.window.held, self.seen, self._share)

    @property
    def _options_us(self) -> int:
        return int(len(self.window.options.parent) * _OPTION_US)

    def _options(self, nobody: "array[float]") -> "CausesOptions":
        options = self.window.options
        kinds = self.window.child_kind
        return options.start, options.parent, options.pair, kinds, self._base, nobody

    def _votes(self) -> "Work[CausesVotes]":
        options, targets = self.window.options, self._targets
        here, of_shape = array("d"), array("d")
        for first in range(0, len(options.pairs), _PAIRS_AT_ONCE):
            some = options.pairs[first : first + _PAIRS_AT_ONCE]
            yield int(len(some) * _PAIR_US)
            found = [targets.votes(child, parent) for _, child, parent in some]
            here.extend([each[0] for each in found])
            of_shape.extend([each[1] for each in found])
        return here, of_shape, self._among, options.relation

    def vote(self) -> Work[None]:
        """What was sampled, for the targets."""
        pairs = self.window.options.pairs
        nobody = array("d", bytes(8 * self.window.kinds.kind_count))
        sums, nothing = array("d", bytes(8 * len(pairs))), array("d", bytes(8 * len(pairs)))
        votes = nothing, nothing, self._among, self.window.options.relation
        yield self._options_us // 4
        _core.causes_vote(self._options(nobody), votes, self.seen, sums)
        for first in range(0, len(pairs), _PAIRS_AT_ONCE):
            yield int(_PAIRS_AT_ONCE * _PAIR_US)
            for at in range(first, min(first + _PAIRS_AT_ONCE, len(pairs))):
                if sums[at]:
                    self._targets.vote(*pairs[at][1:], sums[at])

    @property
    def begin_us(self) -> int:
        return int(len(self.window.options.parent) * _GREEDY_US)

    def begin(self, model: Model) -> None:
        """From nothing: each child where it fits best, in the order of time."""
        _core.causes_greedy(self._arrays(), model.tables(), self.window.held)

    def sample(
        self,
        model: Model,
        sweeps: int,
        seed: int,
        tally: Tally | None = None,
        *,
        piece_us: int = PIECE_US,
    ) -> Work[None]:
        """Shares of the options; `tally` adds up what `samples_of(sweeps)` of the sweeps held."""
        arrays, held, tables = self._arrays(), self.window.held, model.tables()
        into = tally.arrays() if tally else None
        seen = array("d", bytes(8 * len(self.seen)))
        burned, at, burn = 0, 0, sweeps // 4
        while at < sweeps:
            some = min(self._sweeps_of(piece_us), (burn - burned) or sweeps - at)
            yield self._sweeps_us(some, tally is not None)
            number = (seed * 4096 + burned + at) * 2 + 1
            if burned < burn:
                _core.causes_sample(arrays, tables, held, some, 1.0, number, None, None, 1)
                burned += some
                continue
            at += some
            every = min(some, _TALLY_EVERY)
            now = into if at % _TALLY_EVERY == 0 else None
            _core.causes_sample(arrays, tables, held, some, 1.0, number, seen, now, every)
        self.seen = array("d", [each / sweeps for each in seen])

    def _sweeps_of(self, piece_us: int) -> int:
        """A power of two, so that each fourth sweep can be tallied."""
        some, least_us = 1, len(self.window.parents) * _PARENT_US
        while some < 64 and least_us + 2 * some * self.open_children * _SWEEP_US <= piece_us:
            some *= 2
        return some

    def _sweeps_us(self, sweeps: int, is_tallied: bool) -> int:
        parents, tallied = len(self.window.parents), sweeps / _TALLY_EVERY * is_tallied
        return int(
            parents * (_PARENT_US + _TALLY_US * tallied) + sweeps * self.open_children * _SWEEP_US
        )

    def likeliest(self, child: int) -> int:
        """Its option that was held most often, by its number there."""
        span = self.window.span_of(child)
        shares = self.seen[span.start : span.stop]
        return shares.index(max(shares))

    def orphans(self) -> list[float]:
        """Children of each kind that nobody seen caused."""
        sums = [0.0] * self.window.kinds.kind_count
        for child, kind in enumerate(self.window.child_kind):
            sums[kind] += self.seen[self.window.options.start[child + 1] - 1]
        return sums

    def likely_orphans(self) -> list[float]:
        """No kind misses fewer causes than the usual one: others were found in their place."""
        orphans, kinds = self.orphans(), self.window.child_kind
        lost, calls = lost_share(orphans, kinds, 0.0), Counter(kinds)
        return [max(orphan, lost * calls[kind]) for kind, orphan in enumerate(orphans)]

    def options_of_a_child(self) -> float:
        """On average, where there is a choice."""
        return (len(self.seen) - len(self.window.children) + self.open_children) / max(
            1, self.open_children
        )

    def certainty(self) -> float:
        """Of the assignment, on average."""
        spans = (self.window.span_of(child) for child in range(len(self.window.children)))
        best = [max(self.seen[span.start : span.stop]) for span in spans]
        return sum(best) / max(1, len(best))

    def _arrays(self) -> "CausesWindow":
        return self.window.arrays(self._log, self._share)


def learn(
    sampler: Sampler, model: Model, targets: Targets, effort: Effort, *, afresh: bool = True
) -> Work[None]:
    """`model` and the votes of `targets` are those of the window afterwards."""
    number, is_last = 0, False
    certain = [0.0, 0.0]
    while not is_last:
        stray_log = STRAY_LOG if number >= _ROUGH_ROUNDS or not afresh else 0.0
        yield from sampler.weigh(model, own_votes=number > 0, stray_log=stray_log)
        if number < (2 if afresh else 1):
            yield sampler.begin_us
            sampler.begin(model)
        tally = model.tally()
        yield from sampler.sample(model, effort.sweeps, number, tally)
        samples = effort.sweeps // _TALLY_EVERY
        orphans, span = sampler.likely_orphans(), span_ns(sampler.window)
        yield from model.learn(tally, samples, orphans, span)
        number += 1
        certain.append(sampler.certainty())
        is_last = number >= effort.rounds and certain[-1] - certain[-3] < _GAIN_LEAST
        is_last = is_last or number >= max(effort.rounds, effort.rounds_max)
        if is_last:
            yield from model.keep(tally, samples, orphans, span)
        targets.forget()
        yield from sampler.vote()


def lost_share(orphans: Sequence[float], kinds: Sequence[int], unknown: float) -> float:
    """Of causes: what the usual kind of call misses; `unknown` if there are too few calls."""
    calls = Counter(kinds)
    shares = [
        (orphan + 0.5) / (calls[kind] + 1)
        for kind, orphan in enumerate(orphans)
        if calls[kind] >= _CALLS_LEAST
    ]
    return median(shares) if shares else unknown


def _base_log(window: Window, bonus: dict[tuple[int, int], float]) -> "array[float]":
    base = array("d", window.options.log)
    for child in range(len(window.children)) if bonus else ():
        for option in window.span_of(child):
            base[option] += bonus.get((child, window.options.parent[option]), 0.0)
    return base
