"""Who caused a service's call that carries no key: what fits best, weighed against nobody seen.

Objects and verbs first; then times, as the site's own hops have taught (`experience`), outcomes,
and whoever competes for the same causes (`contest`). Reads the tables, changes only `experience`.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from decoders.message import Outcome
from sensor.correlate.actions import Action, Actions, Cause, Fact, Link, Verdict
from sensor.correlate.contest import AGAIN, AGAIN_AFTER_FAILURE, Entry, shares
from sensor.correlate.experience import Experience, Trigger
from sensor.correlate.habits import Habits
from sensor.correlate.inventory import Inventory
from sensor.correlate.relations import SAME_OBJECT, Rank
from sensor.correlate.scores import Scored, Scorer, begun_before, narrowed
from sensor.correlate.verbs import IMPOSSIBLE, Verb
from sensor.services import Services

# Weight of "its cause was not seen" against candidates, by how well the best of those fit.
UNSEEN_WEIGHT = {
    Rank.DEFINITE: 0.004,
    Rank.LIKE_NAME: 0.004,
    Rank.UNKNOWN: 0.05,
    Rank.CONTRARY: 0.05,
}
# Against a candidate that has an operation id, when the child has another; and against one with any
# id, when the child's client is known to pass ids on. Of one that never does, ids say nothing.
OTHER_ID_WEIGHT = 0.1
NOT_PASSED_WEIGHT = 0.01
# Of an effect that failed under a cause that did not, and the other way round.
FAILED_IN_SUCCESS, SUCCEEDED_IN_FAILURE = 0.05, 0.5
DONE_IN_FAILURE = 0.02  # the very thing that failed above succeeds below
OPTIONS_MAX = 16
SIBLINGS_MAX = 64
# Hops with keys that are all guessed at, and the share of the later ones.
REHEARSED_ALL, REHEARSED_EVERY = 256, 8
GUESS_LEAST = 0.5  # below that a rehearsal would not have said who it was

SECOND = 10**9
# How long a parent without a task may work on after its answer.
AFTER_ANSWER_NS = SECOND
# How long one with a task that was never seen to end may (CORRELATION section 3, horizon).
TASK_HORIZON_NS = 90 * SECOND


class Option(NamedTuple):
    """Who may have caused the call; the weight is against UNSEEN_WEIGHT for nobody."""

    scored: Scored
    weight: float

    @property
    def parent(self) -> Action:
        return self.scored.parent


class Guesser:
    def __init__(
        self,
        actions: Actions,
        inventory: Inventory,
        services: Services,
        habits: Habits,
        experience: Experience,
    ) -> None:
        self.actions = actions
        self.inventory = inventory
        self.services = services
        self.habits = habits
        self.experience = experience
        self.doubt = 1.0  # how much likelier than usual a cause was missed

    def guess(self, child: Action, rivals: Sequence[Action]) -> Verdict:
        """`rivals` compete with the child, which is one of them, in the order of their time."""
        options = [_Case(self, each).options() for each in rivals]
        at = next(i for i, each in enumerate(rivals) if each is child)
        own = options[at]
        if not own:
            return Verdict(Cause.UNSEEN, sure=True)
        entries = [
            _entry(each, some, self.doubt) for each, some in zip(rivals, options, strict=True)
        ]
        share, best = shares(entries)[at], own[0].scored
        trust = self.experience.trust(best.relation.rank)
        links = sorted(
            (Link(each.parent.seq, trust * share[each.parent.seq]) for each in own),
            key=lambda link: (-link.weight, link.parent),
        )
        facts = (*best.facts, Fact("nesting", child.client, "inferred"))
        return Verdict(Cause.CORRELATED, tuple(links), facts, sure=True)

    def learn(self, child: Action, parent: Action, weight: float) -> None:
        """The hop is known, with this probability."""
        trigger, gap_ns = self.trigger(child, parent)
        self.experience.hop(self.kind(parent), self.kind(child), trigger, gap_ns, weight)

    def kind(self, action: Action) -> str:
        """What was asked of which service: VC destroy."""
        return _kind(self.services.of_server(action.server, action.server_port), action.verb)

    def trigger(self, child: Action, parent: Action) -> tuple[Trigger, int]:
        """The latest that the child came after, if this is its parent, and how soon."""
        start_ns = child.call.time_ns
        trigger, at_ns = Trigger.START, parent.call.time_ns
        if parent.call.end_ns <= start_ns:
            trigger, at_ns = Trigger.REPLY, parent.call.end_ns
        for sibling in self.siblings(child, parent):
            end_ns = sibling.task_end_ns or sibling.call.end_ns
            if at_ns < end_ns <= start_ns:
                trigger, at_ns = Trigger.SIBLING, end_ns
        return trigger, start_ns - at_ns

    def siblings(self, child: Action, parent: Action) -> list[Action]:
        """What else the parent is known to have caused, the latest first."""
        if not parent.children:
            return []
        latest = islice(reversed(parent.children), SIBLINGS_MAX)
        known = map(self.actions.get, latest)
        return [each for each in known if each and each.settled and each is not child]

    def rehearse(self, child: Action, parent: Action) -> None:
        """Would the parent, which a key tells, have been found without?"""
        if self.experience.guesses >= REHEARSED_ALL and child.seq % REHEARSED_EVERY:
            return
        options = _Case(self, child).options(hidden=True)
        if not options:
            return
        best = options[0]
        if shares([_entry(child, options)])[0][best.parent.seq] > GUESS_LEAST:
            is_right = best.parent.seq == parent.seq or _same_head(best.parent, parent)
            rank = best.scored.relation.rank
            self.experience.guessed(self.kind(parent), self.kind(child), rank, is_right)


class _Case:
    """One child and what is looked up for it."""

    def __init__(self, guesser: Guesser, child: Action) -> None:
        self._actions = guesser.actions
        self._habits = guesser.habits
        self._guesser = guesser
        self._child, self._kind = child, guesser.kind(child)
        self._scorer = Scorer(child, guesser.inventory)

    def options(self, *, hidden: bool = False) -> list[Option]:
        """Those of the best rank that there is, best first. `hidden`: as if it had no id."""
        actions, child = self._actions, self._child
        found = self._at_work(self._scorer.view.parents(actions)) or self._at_work(
            actions.around(child.client, child.seq)
        )
        left, _ = narrowed(found)
        if not left or left[0].relation.is_contrary:
            return []
        options = [self._option(each, hidden) for each in left]
        options.sort(key=lambda option: (-option.weight, option.parent.seq))
        return options[:OPTIONS_MAX]

    def _at_work(self, parents: Iterable[Action]) -> list[Scored]:
        unique = {parent.seq: parent for parent in parents if _is_at_work(parent, self._child)}
        scored = [self._scorer.score(parent) for parent in unique.values()]
        return [each for each in scored if each.verb > IMPOSSIBLE]

    def _option(self, scored: Scored, hidden: bool) -> Option:
        child, parent = self._child, scored.parent
        trigger, gap_ns = self._guesser.trigger(child, parent)
        timing = self._guesser.experience.timing
        weight = scored.weight * timing(self._guesser.kind(parent), self._kind, trigger, gap_ns)
        weight *= _accord(scored, child) * self._free(parent)
        return Option(scored, weight if hidden else weight * self._carried(parent))

    def _free(self, parent: Action) -> float:
        """Nobody asks twice for the same, unless the first time failed."""
        free, key = 1.0, contest_key(self._child)
        for sibling in self._guesser.siblings(self._child, parent):
            if contest_key(sibling) == key:
                again = AGAIN_AFTER_FAILURE if sibling.outcome is Outcome.FAILURE else AGAIN
                free = min(free, max(again, 1.0 - _share_of(sibling, parent)))
        return free

    def _carried(self, parent: Action) -> float:
        """A parent with an id would have passed it on."""
        child = self._child
        if not child.asks or not parent.ids or self._habits.drops_ids(child.client):
            return 1.0
        if self._habits.passes_ids(child.client):
            return NOT_PASSED_WEIGHT
        return OTHER_ID_WEIGHT if parent.call.operation_id else 1.0


@lru_cache(maxsize=1024)  # few services, few verbs
def _kind(service: str, verb: Verb) -> str:
    return f"{service or '?'} {verb}"


def contest_key(action: Action) -> tuple[object, ...]:
    """Actions that are alike in this compete: a cause asks once for each."""
    return action.client, action.server, action.verb, action.objects, action.names


def _is_at_work(parent: Action, child: Action) -> bool:
    """Could the parent cause something at the child's beginning, going by time alone?"""
    if not begun_before(parent, child):
        return False
    start_ns, end_ns = child.call.time_ns, parent.call.end_ns
    if parent.task_end_ns:
        return start_ns <= parent.task_end_ns
    if parent.call.task:
        return start_ns <= end_ns + TASK_HORIZON_NS
    if parent.outcome is Outcome.FAILURE:
        return start_ns <= end_ns
    return start_ns <= end_ns + AFTER_ANSWER_NS


def _entry(action: Action, options: list[Option], doubt: float = 1.0) -> Entry:
    weights = {each.parent.seq: each.weight for each in options}
    unseen = doubt * UNSEEN_WEIGHT[options[0].scored.relation.rank] if options else 1.0
    return Entry(weights, unseen, action.outcome is Outcome.FAILURE)


def _share_of(child: Action, parent: Action) -> float:
    links = child.verdict.links if child.verdict is not None else ()
    return sum(link.weight for link in links if link.parent == parent.seq)


def _same_head(one: Action, other: Action) -> bool:
    """Would it not matter which of them it is?"""
    heads = [tuple(path.pairs for path in each.paths) for each in (one, other)]
    return heads[0] == heads[1] != ()


def _accord(scored: Scored, child: Action) -> float:
    """Does the parent's outcome fit the child's? What a cause asked for fails it, if it fails."""
    parent = scored.parent
    if not (parent.final and child.final):
        return 1.0
    if child.outcome is Outcome.FAILURE:
        return 1.0 if parent.outcome is Outcome.FAILURE else FAILED_IN_SUCCESS
    if parent.outcome is not Outcome.FAILURE:
        return 1.0
    is_same = parent.verb == child.verb and scored.relation.key in SAME_OBJECT
    return DONE_IN_FAILURE if is_same else SUCCEEDED_IN_FAILURE
