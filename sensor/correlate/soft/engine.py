"""Calls as they come, parents as soon as nothing that may still arrive would change them.

A pure state machine: calls and the watermark go in, assignments come out, in packet time. Calls may
arrive in any order within the time that they are held; decisions are made at fixed instants, and
what is learned is learned at them too, a little at each, so that the order of arrival does not show
and no call waits for it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from sensor.correlate.soft.calls import Call, Calls
from sensor.correlate.soft.estimates import Estimate, hidden, rehearsed, temperature
from sensor.correlate.soft.fitting import HORIZON_NS, Site, roles
from sensor.correlate.soft.kinds import kind_of, service_class
from sensor.correlate.soft.learning import Effort
from sensor.correlate.soft.options import OPTIONS_MAX, last_ns
from sensor.correlate.soft.plain import Plain, Table, site_of, site_plain
from sensor.correlate.soft.round import NO_ROWS, UNKNOWN_MANNER, Round
from sensor.correlate.soft.saving import VERSION, learned, recalled, study_of, study_plain
from sensor.correlate.soft.study import Study
from sensor.correlate.soft.targets import Relation, Targets
from sensor.correlate.spans import Assignment, Candidate, Identity, Span

# How far an id is trusted that nothing speaks against: clients choose it, and may use it again.
KEYED = 0.99
# Calls of unknown kinds after which the site is learned again.
_STRANGE_MOST = 200
# Share of what was seen of targets that is forgotten each time that the site is learned.
_FORGOTTEN = 0.2
# Latest calls from which it is told how right it is.
ESTIMATED_FROM = 2048
# Calls that are over leave each so many steps.
EXPIRE_STEPS = 40
# Share of packet time that is spent on learning, and microseconds for each call; the same until
# there are calls enough to learn from; of a step at most so much.
_LEARNING, _FIRST_LEARNING, _LEARNING_MAX_US = (0.05, 20), (0.2, 60), 20_000
# Calls that may wait for the first learning.
_WAITING_MAX = 15_000
# After so many times the calls that it is learned from, a site is learned again.
_LEARNED_EVERY = 4
# Steps that are decided at each, after a time of waiting.
_CATCH_UP = 2
_ALL_US = 1 << 62
# The first time from so many times the calls that are needed at least, then from more.
_SAMPLE_FIRST, _SAMPLE_GROWS = 2, 4


@dataclass(frozen=True, slots=True)
class Bounds:
    hold_ns: int = 2_000_000_000  # a parent may be seen this much after its child
    step_ns: int = 100_000_000  # decisions are made this often
    calls_max: int = 100_000
    undecided_max: int = 50_000
    options_max: int = OPTIONS_MAX
    learned_from: int = 4096
    first_learned_at: int = 128
    effort: Effort = field(default_factory=lambda: Effort(6, 40, 40))
    # of a site that is known already
    upkeep: Effort = field(default_factory=lambda: Effort(1, 24, 24, 1))
    first_wait_ns: int = 5_000_000_000  # nothing is decided until enough is learned, or this


class Engine:
    def __init__(
        self,
        links: Iterable[tuple[str, str]] = (),
        bounds: Bounds | None = None,
        site: Site | None = None,
    ) -> None:
        """`site` is what was learned before; without `learned_from` it stays."""
        self._bounds = bounds or Bounds()
        self._targets = Targets(links)
        self._calls = Calls(self._bounds.calls_max)
        self._latest: deque[Call] = deque(maxlen=self._bounds.learned_from)
        self._called: set[str] = set()  # classes of services
        self._site = site
        self._study: Study | None = None
        self._step = 0  # the latest that is over
        self._first_step: int | None = None
        self._decided_step = 0
        self._decided_until_ns = self._expire_at_ns = 0
        self._seen = 0
        self._sample = 0  # calls from which the site is learned, or was
        self._learned_from = 0  # calls from which it was
        self._learn_at = 0
        self._evicted_before = 0
        self._strange = 0
        self._temperature = 1.0  # inverse, of what is said of calls without ids
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
        self.late += span.end_ns <= self._decided_until_ns
        self._calls.add(span)
        if self._calls.undecided <= self._bounds.undecided_max:
            return []
        self.hurried += 1
        until_ns = (self._calls.next_ripe_ns or 0) + self._bounds.step_ns
        self._admit(until_ns)
        return self._decide(until_ns)

    def end_task(self, identity: Identity, done_ns: int) -> None:
        self._calls.end_task(identity, done_ns)

    def advance(self, watermark_ns: int) -> list[Assignment]:
        """Everything that ended by the watermark has been added."""
        return self._advance((watermark_ns - self._bounds.hold_ns) // self._bounds.step_ns, 0)

    def finish(self) -> list[Assignment]:
        return self._advance(1 << 62, _ALL_US)

    def self_estimate(self, calls: int = ESTIMATED_FROM) -> Estimate:
        """Of its latest calls, what share it would find again; to be asked for rarely.

        Takes some 0.2 ms for each call, and changes nothing.
        """
        if self._site is None:
            return {}
        return rehearsed(self._site, self._latest_spans(calls), self._targets)

    def reliability(self, calls: int = ESTIMATED_FROM) -> Estimate:
        """Of its latest calls whose parents ids tell, the share it would find without ids.

        To be asked for rarely: from now on what it says of calls without ids is as sure as it was
        right there.
        """
        if self._site is None:
            return {}
        verdicts, found = hidden(self._site, self._latest_spans(calls), self._targets)
        self._temperature = temperature(verdicts)
        return found

    def _latest_spans(self, calls: int) -> list[Span]:
        return [call.span for call in list(self._latest)[-calls:]]

    def learned(self) -> Plain:
        """What it knows of the site, for `recall` after a restart; None if that is nothing yet."""
        if self._site is None:
            return None
        return learned(self._site, self._learned_from, self._targets, self._called)

    def recall(self, tree: Plain) -> None:
        """Raises ValueError if the tree is not of `learned`; the engine is as before then."""
        self._site, sample, self._called = recalled(tree, self._targets)
        self._sample = self._learned_from = self._learn_at = min(sample, self._bounds.learned_from)

    def state(self) -> Plain:
        """All of it. An engine that is made of it goes on as this one would."""
        table = Table()
        lists = {**self._calls.lists(), "latest": list(self._latest)}
        study = self._study
        tree = {
            "version": VERSION,
            "lists": {name: [table.call(each) for each in calls] for name, calls in lists.items()},
            "ends": [list(each) for each in self._calls.ends()],
            "evicted": self.evicted,
            "called": sorted(self._called),
            "targets": self._targets.plain(),
            "site": site_plain(self._site) if self._site else None,
            "study": study_plain(study, self._site, table) if study else None,
            "numbers": [getattr(self, name) for name in _NUMBERS],
        }
        return tree | table.plain()

    @classmethod
    def from_state(
        cls, tree: Plain, links: Iterable[tuple[str, str]] = (), bounds: Bounds | None = None
    ) -> "Engine":
        """Links and bounds are those that it had. Raises ValueError if the tree is no state."""
        engine = cls(links, bounds)
        try:
            engine._restore(tree)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"no state of an engine: {error}") from None
        return engine

    def _restore(self, tree: Plain) -> None:
        if tree["version"] != VERSION:
            raise ValueError(f"of version {tree['version']}, not {VERSION}")
        table, bounds = Table.of(tree), self._bounds
        lists = {
            name: [table.calls[number] for number in numbers]
            for name, numbers in tree["lists"].items()
        }
        self._calls.restore(lists, [(done_ns, identity) for done_ns, identity in tree["ends"]])
        self._calls.evicted = tree["evicted"]
        self._latest.extend(lists["latest"])
        self._called = set(tree["called"])
        self._targets.restore(tree["targets"])
        self._site = site_of(tree["site"]) if tree["site"] else None
        if tree["study"]:
            efforts = bounds.effort, bounds.upkeep
            self._study = study_of(tree["study"], self._site, table, self._targets, efforts)
        for name, number in zip(_NUMBERS, tree["numbers"], strict=True):
            setattr(self, name, number)

    def _advance(self, last: int, learning_us: int) -> list[Assignment]:
        """All steps up to the last; so much more time is there to learn at each."""
        step_ns, decided = self._bounds.step_ns, []
        while (next_ns := self._calls.next_ripe_ns) is not None:
            step = max(-(-next_ns // step_ns), self._step + self._is_behind, 1)
            if step > last:
                break
            decided += self._pass(step, learning_us)
        return decided

    @property
    def _is_behind(self) -> bool:
        return self._first_step is not None and self._decided_step < self._step

    def _is_waiting(self, step: int) -> bool:
        """Nothing is decided before enough is learned, but for a while only."""
        wait = self._bounds.first_wait_ns // self._bounds.step_ns
        is_enough = self._is_settled and (self._study is None or self._study.known is not None)
        is_long = step - (self._first_step or 0) >= wait
        return not is_enough and not is_long and self._calls.undecided < _WAITING_MAX

    def _pass(self, step: int, learning_us: int) -> list[Assignment]:
        bounds = self._bounds
        if self._first_step is None:
            self._first_step, self._decided_step = step, step - 1
        passed_ns = max(step - self._step, 1) * bounds.step_ns
        self._step = max(self._step, step)
        fresh = self._admit(step * bounds.step_ns + bounds.hold_ns)
        self._learn(self._earned_us(passed_ns, fresh) + learning_us, learning_us > 0)
        if self._is_waiting(step):
            return []
        # What waited is made up for a little at each step.
        next_step = -(-(self._calls.next_ripe_ns or 0) // bounds.step_ns)
        self._decided_step = min(step, max(self._decided_step + _CATCH_UP, next_step))
        return self._decide(self._decided_step * bounds.step_ns)

    def _earned_us(self, passed_ns: int, calls: int) -> int:
        share, call_us = _LEARNING if self._is_settled else _FIRST_LEARNING
        return min(int(passed_ns / 1000 * share) + calls * call_us, _LEARNING_MAX_US)

    @property
    def _is_settled(self) -> bool:
        return self._site is not None and self._sample >= self._bounds.learned_from

    def _admit(self, until_ns: int) -> int:
        found = self._calls.admit(until_ns)
        for call in found:
            self._latest.append(call)
            self._called.add(service_class(call.span.callee))
            self._notice(call.span)
        self._seen += len(found)
        return len(found)

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

    def _decide(self, until_ns: int) -> list[Assignment]:
        """All calls that ended by then."""
        self._decided_until_ns = max(self._decided_until_ns, until_ns)
        decided: list[Assignment] = []
        mine = []
        for call in self._calls.ripe(until_ns):
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
        if site is not None and parent.row in site.never.get(kind_of(child), NO_ROWS):
            return None
        slack = UNKNOWN_MANNER.slack_ns
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
        self._calls.expire(until_ns - life_ns, manners, UNKNOWN_MANNER, HORIZON_NS)
        self._expire_at_ns = until_ns + EXPIRE_STEPS * bounds.step_ns

    def _learn(self, some_us: int, is_last: bool) -> None:
        """So much of it as may be done now."""
        if self._study is None and self._latest and self._seen >= self._learn_at:
            self._study = self._begun(is_last)
        if self._study is None:
            return
        site = self._study.work(some_us)
        if site is not None:
            self._learned_from = len(self._study.spans)
            self._site, self._study = site, None
            self._strange = 0
            self._targets.forget(_FORGOTTEN)
            self._evicted_before = self.evicted

    def _begun(self, is_last: bool) -> Study | None:
        """From few calls first, then from ever more; from all if time is no object."""
        bounds = self._bounds
        most = max(_SAMPLE_GROWS * self._sample, _SAMPLE_FIRST * bounds.first_learned_at)
        spans = [call.span for call in list(self._latest)[0 if is_last else -most :]]
        if not all(roles(spans)):
            return None
        known = self._site.model if self._site is not None and self._is_settled else None
        self._sample = len(spans)
        times = _LEARNED_EVERY if known is not None else 1
        self._learn_at = self._seen + times * min(self._sample, bounds.learned_from)
        return Study(spans, self._targets, bounds.effort, known, bounds.upkeep)

    def _assign(self, site: Site, mine: list[Call], until_ns: int) -> list[Assignment]:
        ahead = [
            call
            for call in self._calls.pending(until_ns + site.life_ns)
            if service_class(call.span.caller) in self._called
            and site.manners.get(service_class(call.span.caller), UNKNOWN_MANNER).nested
        ]
        options_max = self._bounds.options_max
        round_ = Round(site, self._calls, self._targets, [*mine, *ahead], options_max)
        return round_.assignments(mine, self._targets, self._lost, self._temperature)


# What an engine counts, in its state.
_NUMBERS = (
    "_step", "_first_step", "_decided_step", "_decided_until_ns", "_expire_at_ns", "_seen",
    "_sample", "_learned_from", "_learn_at", "_evicted_before", "_strange", "_temperature",
    "late", "hurried",
)  # fmt: skip


def _kept(call: Call, parent: Call) -> Assignment:
    """An id says whose the call is."""
    parent.children += (call,)
    candidates = Candidate(parent.span.id, KEYED), Candidate(None, 1 - KEYED)
    return Assignment(call.span.id, parent.span.id, KEYED, candidates)
