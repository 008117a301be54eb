"""Which records a sink gets: by kind, by service anywhere in the chain, by class of operation."""

from collections.abc import Sequence
from dataclasses import dataclass

from sensor.records import Record


@dataclass(frozen=True, slots=True)
class Filter:
    """Empty: all. A record must satisfy each that is not."""

    kinds: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()

    def takes(self, record: Record) -> bool:
        if self.kinds and record.kind not in self.kinds:
            return False
        if self.classes and (record.op is None or record.op.cls not in self.classes):
            return False
        return not self.services or not self.services.isdisjoint(_services_of(record))


def filter_of(kinds: Sequence[str], services: Sequence[str], classes: Sequence[str]) -> Filter:
    return Filter(frozenset(kinds), frozenset(services), frozenset(classes))


def _services_of(record: Record) -> tuple[str, ...]:
    chain = record.chain.services if record.chain is not None else ()
    return (*chain, record.to.service, record.source.service)
