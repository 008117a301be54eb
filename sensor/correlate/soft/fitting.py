"""What is learned of a site from its calls, all of it at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from sensor.correlate.soft.firsts import mean_calls
from sensor.correlate.soft.kinds import Kind, Kinds, Row, service_class
from sensor.correlate.soft.learning import Effort, Sampler, learn, lost_share
from sensor.correlate.soft.manners import Order, manners
from sensor.correlate.soft.model import Model
from sensor.correlate.soft.options import Manner, options_of
from sensor.correlate.soft.targets import Targets
from sensor.correlate.soft.window import Window, targets_at
from sensor.correlate.soft.work import Work, done
from sensor.correlate.spans import Span

HORIZON_NS = 60_000_000_000
# Nearly every nested request is answered within this share's time.
# What is left open where a cause was surely lost: that there was none is not stated then.
_UNSURE, _LOST_WORTH = 0.06, 2.0
_LIFE_SHARE, _LIFE_LEAST_NS = 0.99, 10_000_000


@dataclass(slots=True)
class Site:
    model: Model
    manners: dict[str, Manner]
    keepers: dict[str, float]  # classes of services that go on in order
    among: dict[str, float]  # targets at each class of services
    life_ns: int
    never: dict[Kind, frozenset[Row]]  # parents that a kind of call never has
    # what is left open where nobody seen was the cause, by kind, without and with an id
    open_share: list[float]


@dataclass(slots=True)
class Fit:
    site: Site
    sampler: Sampler


def roles(spans: Sequence[Span]) -> tuple[list[Span], list[Span]]:
    """Calls that services got which also call, and the calls of services that are called."""
    called, calling = {span.callee for span in spans}, {span.caller for span in spans}
    in_time = sorted(spans, key=in_time_order)
    return (
        [span for span in in_time if span.callee in calling],
        [span for span in in_time if span.caller in called],
    )


def in_time_order(span: Span) -> tuple[int, int, str]:
    return span.start_ns, span.end_ns, str(span.id)


def fit(
    parents: Sequence[Span],
    children: Sequence[Span],
    targets: Targets,
    effort: Effort,
    known: Model | None = None,
    upkeep: Effort | None = None,
) -> Fit:
    """`targets` has the votes of these calls afterwards."""
    return done(fitting(parents, children, targets, effort, known, upkeep))


def fitting(
    parents: Sequence[Span],
    children: Sequence[Span],
    targets: Targets,
    effort: Effort,
    known: Model | None = None,
    upkeep: Effort | None = None,
) -> Work[Fit]:
    """If there are no other kinds of calls than in `known`, that is what is made better.

    It takes the effort of `upkeep` then, and `known` itself changes.
    """
    found = yield from manners(parents, children)
    yield 2 * (len(parents) + len(children))
    kinds = Kinds.of(parents, children)
    is_known = known is not None and kinds.names() == known.kinds.names()
    if known is not None and is_known:
        kinds = known.kinds
    options = yield from options_of(parents, children, targets, found, HORIZON_NS)
    yield 2 * (len(parents) + len(children))
    window = Window(parents, children, kinds, options)
    if known is None or not is_known:
        mean = yield from mean_calls(window)
        known = yield from Model.first(window, found, mean)
    known.heed(found)
    yield 5 * (len(parents) + len(children))
    order = Order(parents, children)
    keepers = order.keepers()
    among = targets_at(parents)
    yield len(options.parent)
    sampler = Sampler(window, targets, among, order.bonus(keepers))
    some = (upkeep or effort) if is_known else effort
    yield from learn(sampler, known, targets, some, afresh=not is_known)
    site = Site(
        model=known,
        manners=found,
        keepers=keepers,
        among=among,
        life_ns=_life_ns(parents, found),
        never=known.never(),
        open_share=unseen_shares(sampler),
    )
    return Fit(site, sampler)


def _life_ns(parents: Sequence[Span], found: dict[str, Manner]) -> int:
    lives = sorted(
        span.replied_ns - span.served_ns
        for span in parents
        if (manner := found.get(service_class(span.callee))) and manner.nested
    )
    return max(_LIFE_LEAST_NS, lives[int(len(lives) * _LIFE_SHARE)] if lives else 0)


def unseen_shares(sampler: Sampler) -> list[float]:
    """How much of 'nobody seen' is left open for calls of each kind, without and with an id.

    Their causes may be lost. Packets are lost alike from all kinds, so what the usual kind misses
    tells how often; what other kinds miss beyond that, they do by themselves. They may do it with
    ids or without: a call that carries one had it from somebody, where no others of its kind do.
    """
    window = sampler.window
    calls, orphans = [0.0] * (2 * window.kinds.kind_count), [0.0] * (2 * window.kinds.kind_count)
    for i, kind in enumerate(window.child_kind):
        at = 2 * kind + bool(window.children[i].operation_id)
        calls[at] += 1
        orphans[at] += sampler.seen[window.options.start[i + 1] - 1]
    lost = lost_share(sampler.orphans(), window.child_kind, 1.0)
    shares = [
        lost * (count + 1) / (orphan + 0.5) for orphan, count in zip(orphans, calls, strict=True)
    ]
    return [_UNSURE * min(1.0, _LOST_WORTH * share) for share in shares]
