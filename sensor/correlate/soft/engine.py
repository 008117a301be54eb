"""Calls as they come, parents as soon as nothing that may still arrive would change them.

A pure state machine: calls and the watermark go in, assignments come out, in packet time. Calls may
arrive in any order within the time that they are held; decisions are made at fixed instants, so
that order does not show. What is learned is learned again from the latest calls, ever more of them.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from sensor.correlate.soft.calls import Call, Calls, Requests
from sensor.correlate.soft.fitting import HORIZON_NS, Site, fit, in_time_order, roles
from sensor.correlate.soft.kinds import Row, kind_of, service_class
from sensor.correlate.soft.learning import Effort, Sampler
from sensor.correlate.soft.manners import Order
from sensor.correlate.soft.targets import Relation, Targets
from sensor.correlate.soft.window import (
    OPTIONS_MAX,
    Choice,
    Manner,
    Options,
    Window,
    choices_of,
    last_ns,
)
from sensor.correlate.spans import Assignment, Candidate, Identity, Span

_NO_ROWS: frozenset[Row] = frozenset()
_UNKNOWN_MANNER = Manner(False, 50_000_000)


# How far an id is trusted that nothing speaks against: clients choose it, and may use it again.
KEYED = 0.99
# Sweeps of a window, and how its most probable assignment freezes.
_SWEEPS = 40
_COLDER = (2.5, 20.0)
# Calls of unknown kinds after which the site is learned again.
_STRANGE_MOST = 200
# Share of what was seen of targets that is forgotten each time that the site is learned.
_FORGOTTEN = 0.2
# Calls that are over leave each so many steps.
EXPIRE_STEPS = 16


@dataclass(frozen=True, slots=True)
class Bounds:
    hold_ns: int = 2_000_000_000  # a parent may be seen this much after its child
    step_ns: int = 250_000_000  # decisions are made this often
    calls_max: int = 100_000
    undecided_max: int = 50_000
    options_max: int = OPTIONS_MAX
    learned_from: int = 4096
    first_learned_at: int = 128
    effort: Effort = field(default_factory=lambda: Effort(6, 40, 40))
    # of a site that is known already
    upkeep: Effort = field(default_factory=lambda: Effort(1, 24, 24))


class Engine:
    def __init__(
        self,
        links: Iterable[tuple[str, str]] = (),
        bounds: Bounds | None = None,
        site: Site | None = None,
    ) -> None:
        """`site` is what was learned before; without `learned_from` it stays."""
        self._bounds = bounds or Bounds()
        self._links = list(links)
        self._targets = Targets(self._links)
        self._calls = Calls(self._bounds.calls_max)
        self._latest: deque[Call] = deque(maxlen=self._bounds.learned_from)
        self._called: set[str] = set()  # classes of services
        self._site = site
        self._decided_until_ns = self._expire_at_ns = 0
        self._seen = 0
        self._learn_at = self._bounds.first_learned_at
        self._evicted_before = 0
        self._strange = 0
        self.late = 0
        self.hurried = 0

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def evicted(self) -> int:
        return self._calls.evicted

    @property
    def _lost(self) -> float:
        """Share of the latest calls that left before their time."""
        return min(1.0, (self.evicted - self._evicted_before) / max(1, len(self._latest)))

    def add(self, span: Span) -> list[Assignment]:
        """A call that ended. Assignments only if there are too many undecided ones."""
        self._seen += 1
        self.late += span.end_ns <= self._decided_until_ns
        self._latest.append(self._calls.add(span))
        self._called.add(service_class(span.callee))
        self._notice(span)
        if self._calls.undecided <= self._bounds.undecided_max:
            return []
        self.hurried += 1
        return self._decide(self._calls.next_ripe_ns or 0)

    def _notice(self, span: Span) -> None:
        """Many calls of kinds that are not known: it is time to learn."""
        if (
            self._site is not None
            and not self._site.model.kinds.kind(span)
            and service_class(span.caller) in self._called
        ):
            self._strange += 1
            if self._strange >= _STRANGE_MOST:
                self._learn_at = min(self._learn_at, self._seen)

    def end_task(self, identity: Identity, done_ns: int) -> None:
        self._calls.end_task(identity, done_ns)

    def advance(self, watermark_ns: int) -> list[Assignment]:
        """Everything that ended by the watermark has been added."""
        step = self._bounds.step_ns
        last = (watermark_ns - self._bounds.hold_ns) // step
        decided = []
        while (next_ns := self._calls.next_ripe_ns) is not None and -(-next_ns // step) <= last:
            decided += self._decide(max(-(-next_ns // step), 1) * step)
        return decided

    def finish(self) -> list[Assignment]:
        decided = []
        while (next_ns := self._calls.next_ripe_ns) is not None:
            decided += self._decide(-(-next_ns // self._bounds.step_ns) * self._bounds.step_ns)
        return decided

    def _decide(self, until_ns: int) -> list[Assignment]:
        """All calls that ended by then."""
        self._decided_until_ns = max(self._decided_until_ns, until_ns)
        if self._latest and (self._site is None or self._seen >= self._learn_at):
            self._learn()
        ripe = self._calls.ripe(until_ns)
        decided: list[Assignment] = []
        mine = []
        for call in ripe:
            if service_class(call.span.caller) not in self._called:
                decided.append(Assignment(call.span.id, None, 1.0, ()))
            elif (parent := self._by_id(call)) is not None:
                decided.append(_kept(call, parent))
            else:
                mine.append(call)
        if mine and self._site is not None:
            decided += self._assign(self._site, mine, until_ns)
        else:
            decided += [Assignment(call.span.id, None, 0.5, ()) for call in mine]
        if until_ns >= self._expire_at_ns:
            self._expire(until_ns)
        return decided

    def _by_id(self, call: Call) -> Call | None:
        """The one request whose id the call carries, if nothing speaks against it."""
        child = call.span
        if not child.operation_id:
            return None
        named = self._calls.named(child)
        if len(named) > 1 and child.target:
            linked = self._targets.linked(child.target)
            named = [each for each in named if each.span.target in linked]
        if len(named) != 1:
            return None
        parent = named[0]
        site = self._site
        if site is not None and parent.row in site.never.get(kind_of(child), _NO_ROWS):
            return None
        slack = _UNKNOWN_MANNER.slack_ns
        in_time = (
            parent.span.served_ns - slack
            <= child.start_ns
            <= last_ns(parent.span, HORIZON_NS) + slack
        )
        relation = Relation.UNKNOWN
        if child.target and parent.span.target:
            relation = self._targets.relation(child.target, parent.span.target)
        return parent if in_time and relation is not Relation.APART else None

    def _expire(self, until_ns: int) -> None:
        site, bounds = self._site, self._bounds
        life_ns = site.life_ns if site else bounds.hold_ns
        manners = site.manners if site else {}
        self._calls.expire(until_ns - life_ns, manners, _UNKNOWN_MANNER, HORIZON_NS)
        self._expire_at_ns = until_ns + EXPIRE_STEPS * bounds.step_ns

    def _learn(self) -> None:
        parents, children = roles([call.span for call in self._latest])
        if not parents or not children:
            return
        bounds = self._bounds
        settled = self._site is not None and self._seen >= 2 * bounds.learned_from
        known = self._site.model if self._site is not None and settled else None
        targets = Targets(self._links)
        found = fit(parents, children, targets, bounds.effort, known, bounds.upkeep)
        self._site = found.site
        self._strange = 0
        self._targets.forget(_FORGOTTEN)
        self._evicted_before = self.evicted
        self._learn_at = self._seen + min(self._seen, bounds.learned_from)

    def _assign(self, site: Site, mine: list[Call], until_ns: int) -> list[Assignment]:
        ahead = [
            call
            for call in self._calls.pending(until_ns + site.life_ns)
            if service_class(call.span.caller) in self._called
            and site.manners.get(service_class(call.span.caller), _UNKNOWN_MANNER).nested
        ]
        round_ = _Round(site, self._calls, self._targets, [*mine, *ahead], self._bounds.options_max)
        return round_.assignments(mine, self._targets, self._lost)


def _kept(call: Call, parent: Call) -> Assignment:
    """An id says whose the call is."""
    parent.children += (call,)
    candidates = Candidate(parent.span.id, KEYED), Candidate(None, 1 - KEYED)
    return Assignment(call.span.id, parent.span.id, KEYED, candidates)


class _Round:
    """One window: calls to be decided, those that compete with them, those decided already."""

    def __init__(
        self, site: Site, calls: Calls, targets: Targets, open_calls: list[Call], options_max: int
    ) -> None:
        self._site = site
        self._parents: list[Call] = []
        requests = Requests(calls, HORIZON_NS)
        numbers: dict[int, int] = {}
        choices: list[tuple[Call, list[Choice]]] = []
        for call in open_calls:
            manner = site.manners.get(service_class(call.span.caller), _UNKNOWN_MANNER)
            never = site.never.get(kind_of(call.span), _NO_ROWS)
            near = requests.near(call.span, manner, never)
            spans = [each.span for each in near]
            best = []
            for choice in choices_of(call.span, spans, targets, options_max):
                parent = near[choice.parent]
                number = numbers.setdefault(id(parent), len(numbers))
                if number == len(self._parents):
                    self._parents.append(parent)
                best.append(choice._replace(parent=number))
            choices.append((call, best))
        self._children = self._ordered(choices)
        self._sampler = self._sampled(calls, targets)

    def _ordered(self, choices: list[tuple[Call, list[Choice]]]) -> list[Call]:
        fixed = [
            (child, number) for number, call in enumerate(self._parents) for child in call.children
        ]
        rows: list[tuple[Call, list[Choice] | int]] = [*choices, *fixed]
        rows.sort(key=lambda row: in_time_order(row[0].span))
        self._options = options = Options()
        for _, found in rows:
            if isinstance(found, int):
                options.fix(found)
                continue
            for choice in found:
                options.add(choice.parent, choice.log, choice.relation)
            options.end_child()
        return [call for call, _ in rows]

    def _sampled(self, calls: Calls, targets: Targets) -> Sampler:
        site = self._site
        spans = [call.span for call in self._children]
        window = Window(
            [call.span for call in self._parents], spans, site.model.kinds, self._options
        )
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

    def assignments(self, mine: list[Call], targets: Targets, lost: float) -> list[Assignment]:
        sampler, model = self._sampler, self._site.model
        sampler.weigh(model, own_votes=False, lost=lost)
        sampler.begin(model)
        sampler.sample(model, _SWEEPS, 1)
        held = sampler.coldest(model, 1, _COLDER)
        wanted = {id(call) for call in mine}
        found = []
        for i, call in enumerate(self._children):
            if id(call) not in wanted:
                continue
            options = sampler.window.span_of(i)
            candidates = [
                Candidate(parent.id if parent else None, sampler.seen[option])
                for option in options
                for parent in [sampler.window.parent_at(option)]
            ]
            nobody = candidates[-1].probability
            seen = (1 - lost) * (1 - self._site.open_share[sampler.window.child_kind[i]])
            candidates[-1] = Candidate(None, nobody * seen)
            best = candidates[held[i]]
            number = self._options.parent[options[held[i]]]
            if number >= 0:
                parent_call = self._parents[number]
                parent_call.children += (call,)
                if call.span.target and parent_call.span.target:
                    targets.vote(call.span.target, parent_call.span.target, best.probability)
            candidates.sort(key=lambda each: (each is not best, -each.probability))
            found.append(Assignment(call.span.id, best.parent, best.probability, tuple(candidates)))
        return found
