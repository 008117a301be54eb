"""One window: calls to be decided, those that compete with them, those decided already."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from sensor.correlate.soft.calls import Call, Calls
from sensor.correlate.soft.estimates import softened
from sensor.correlate.soft.fitting import HORIZON_NS, Site, in_time_order
from sensor.correlate.soft.kinds import Row, kind_of, service_class
from sensor.correlate.soft.learning import Sampler
from sensor.correlate.soft.manners import Order
from sensor.correlate.soft.options import NOBODY, Chooser, Manner, Options, last_ns
from sensor.correlate.soft.targets import Targets
from sensor.correlate.soft.window import Window
from sensor.correlate.soft.work import done
from sensor.correlate.spans import Assignment, Candidate, Span

NO_ROWS: frozenset[Row] = frozenset()
UNKNOWN_MANNER = Manner(False, 50_000_000)
# Sweeps of a window, first to find where it may go, so many times more where there is more choice
# and time enough: a sweep takes so long for each call that has a choice.
_SWEEPS = 40
_FIRST_SWEEPS = 16
_OPTIONS_EASY = 5
_TIMES_LEAST, _TIMES_MAX = 1.0, 6.0
_WINDOW_US, _SWEEP_US = 25_000, 0.15
_AT_ONCE_US = 1 << 40


class _Served:
    """Requests at one service in the order of their start; they have numbers from `first` on."""

    def __init__(self, calls: Sequence[Call], first: int) -> None:
        self.calls = sorted(calls, key=lambda call: call.span.served_ns)
        self._first = first
        self._starts = [call.span.served_ns for call in self.calls]
        self._replies = [call.span.replied_ns for call in self.calls]
        self._lasts: list[int] = []
        lives = [end - start for start, end in zip(self._starts, self._replies, strict=True)]
        self._life_ns = max(lives, default=0)

    def near(self, child: Span, manner: Manner, never: frozenset[Row]) -> list[int]:
        """Requests that may have caused the call, but for kinds that never do."""
        at, slack = self._first, manner.slack_ns
        last = bisect_right(self._starts, child.start_ns + slack)
        if manner.nested:
            end = child.end_ns - slack
            first = bisect_left(self._starts, end - self._life_ns, 0, last)
            replies = self._replies
            return [at + i for i in range(first, last) if replies[i] >= end]
        if not self._lasts:
            self._lasts = [last_ns(call.span, HORIZON_NS) for call in self.calls]
        earliest, lasts, calls = child.start_ns - slack, self._lasts, self.calls
        found = [i for i in range(last) if lasts[i] >= earliest]
        return [at + i for i in found if not never or calls[i].row not in never]


class _Requests:
    """Those at the services that call, as they are now."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.all: list[Call] = []
        self.spans: list[Span] = []
        self._at: dict[str, _Served] = {}

    def near(self, child: Span, manner: Manner, never: frozenset[Row]) -> list[int]:
        served = self._at.get(child.caller)
        if served is None:
            served = _Served(self._calls.at(child.caller), len(self.all))
            self._at[child.caller] = served
            self.all += served.calls
            self.spans += [call.span for call in served.calls]
        return served.near(child, manner, never)


class Round:
    def __init__(
        self, site: Site, calls: Calls, targets: Targets, open_calls: list[Call], options_max: int
    ) -> None:
        self._site = site
        requests = _Requests(calls)
        chooser = Chooser(requests.spans, targets, options_max)
        open_calls = sorted(open_calls, key=lambda call: in_time_order(call.span))
        for call in open_calls:
            manner = site.manners.get(service_class(call.span.caller), UNKNOWN_MANNER)
            never = site.never.get(kind_of(call.span), NO_ROWS)
            chooser.add(call.span, requests.near(call.span, manner, never))
        options = chooser.options
        used = sorted(set(options.parent) - {NOBODY})
        self._parents = [requests.all[i] for i in used]
        _renumber(options, used)
        fixed = [
            (child, number) for number, call in enumerate(self._parents) for child in call.children
        ]
        self._children, self._options = _merged(open_calls, options, fixed)
        self.sampler = self._sampled(calls, targets)

    def _sampled(self, calls: Calls, targets: Targets) -> Sampler:
        site = self._site
        spans = [call.span for call in self._children]
        parents = [call.span for call in self._parents]
        window = Window(parents, spans, site.model.kinds, self._options)
        bonus = self._bonus(calls) if site.keepers else {}
        return Sampler(window, targets, site.among, bonus)

    def _bonus(self, calls: Calls) -> dict[tuple[int, int], float]:
        """Of services that keep the order, told from all requests that are here."""
        number = {id(call): i for i, call in enumerate(self._parents)}
        requests = [
            call
            for service in calls.services()
            if service_class(service) in self._site.keepers
            for call in calls.at(service)
        ]
        made = list(self._children)
        here = {id(call) for call in made}
        made += [each for call in requests for each in call.children if id(each) not in here]
        order = Order([call.span for call in requests], [call.span for call in made])
        return {
            (child, number[id(requests[parent])]): worth
            for (child, parent), worth in order.bonus(self._site.keepers).items()
            if child < len(self._children) and id(requests[parent]) in number
        }

    def assignments(
        self, mine: list[Call], targets: Targets, lost: float, temperature: float
    ) -> list[Assignment]:
        """`lost`: share of parents that are known to be; `temperature`: inverse, see estimates."""
        sampler, model = self.sampler, self._site.model
        done(sampler.weigh(model, own_votes=False, lost=lost))
        sampler.begin(model)
        self._recall()
        once_us = sampler.open_children * (_FIRST_SWEEPS + _SWEEPS) * 1.25 * _SWEEP_US
        most = min(_TIMES_MAX, _WINDOW_US / max(1.0, once_us))
        times = max(1.0, min(most, _TIMES_LEAST + sampler.options_of_a_child() / _OPTIONS_EASY))
        done(sampler.sample(model, int(times * _FIRST_SWEEPS), 1, piece_us=_AT_ONCE_US))
        sampler.propose(model)
        done(sampler.sample(model, int(times * _SWEEPS), 2, piece_us=_AT_ONCE_US))
        wanted = {id(call) for call in mine}
        self._remember(wanted)
        return [
            self._assigned(i, targets, lost, temperature)
            for i, call in enumerate(self._children)
            if id(call) in wanted
        ]

    def _recall(self) -> None:
        """Where the last window left those that it did not decide: it sampled them, too."""
        options, held = self._options, self.sampler.window.held
        numbers = {id(call): i for i, call in enumerate(self._parents)}
        for child, call in enumerate(self._children):
            if call.likely is not None and (parent := numbers.get(id(call.likely))) is not None:
                first, end = options.start[child], options.start[child + 1]
                own = options.parent[first:end]
                if parent in own:
                    held[child] = own.index(parent)

    def _remember(self, decided: set[int]) -> None:
        held, options = self.sampler.window.held, self._options
        for child, call in enumerate(self._children):
            parent = options.parent[options.start[child] + held[child]]
            is_open = parent != NOBODY and id(call) not in decided
            call.likely = self._parents[parent] if is_open else None

    def _assigned(
        self, child: int, targets: Targets, lost: float, temperature: float
    ) -> Assignment:
        call, site, parents = self._children[child], self._site, self._parents
        options, first = self._options, self._options.start[child]
        last = options.start[child + 1] - 1
        shares = softened(self.sampler.seen[first : last + 1], temperature)
        best = first + self.sampler.likeliest(child)
        kind = self.sampler.window.child_kind[child]
        open_share = (1 - lost) * (1 - site.open_share[2 * kind + bool(call.span.operation_id)])
        found = []
        for option, share in zip(range(first, last), shares, strict=False):
            if share or option == best:
                found.append(Candidate(parents[options.parent[option]].span.id, share))
        found.append(Candidate(None, shares[-1] * open_share))
        if best == last:
            stated = found[-1]
        else:
            parent_call = parents[options.parent[best]]
            stated = next(each for each in found if each.parent == parent_call.span.id)
            parent_call.children += (call,)
            if call.span.target and parent_call.span.target:
                targets.vote(call.span.target, parent_call.span.target, stated.probability)
        found.sort(key=lambda each: (each is not stated, -each.probability))
        return Assignment(call.span.id, stated.parent, stated.probability, tuple(found))


def _renumber(options: Options, used: list[int]) -> None:
    numbers = dict(zip(used, range(len(used)), strict=True))
    numbers[NOBODY] = NOBODY
    options.parent = array("i", [numbers[parent] for parent in options.parent])


def _merged(
    calls: list[Call], options: Options, fixed: list[tuple[Call, int]]
) -> tuple[list[Call], Options]:
    """With those that have their parents already, in the order of time."""
    if not fixed:
        return calls, options
    rows = [(call, i, NOBODY) for i, call in enumerate(calls)]
    rows += [(call, -1, parent) for call, parent in fixed]
    rows.sort(key=lambda row: in_time_order(row[0].span))
    merged = Options(pairs=options.pairs, relation=options.relation)
    for _, i, parent in rows:
        if i < 0:
            merged.fix(parent)
        else:
            merged.copy(options, i)
    return [row[0] for row in rows], merged
