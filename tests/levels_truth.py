"""What people did through five levels, held against the records."""

from dataclasses import dataclass
from typing import Any

from tests.command import Record

# How long after its answer a request is still taken for a possible cause.
AFTER_ANSWER_S = 1.05
STATED = 0.95  # what is said with this confidence is said without "perhaps"


@dataclass(frozen=True, slots=True)
class Judged:
    """One program started in a guest."""

    did: dict[str, Any]
    record: Record  # of the call at the host, as last amended

    @property
    def is_right(self) -> bool:
        return bool(self.record["chain"]["path"] == self.did["path"])

    @property
    def is_candidate(self) -> bool:
        found = {each["path"] for each in self.record["hop"].get("candidates", ())}
        return self.did["path"] in found

    @property
    def is_likeliest(self) -> bool:
        """Nobody is named, but of those who may have done it this one is the most probable."""
        found = [each["path"] for each in self.record["hop"].get("candidates", ())]
        return bool(self.did["path"] == next((each for each in found if each[0] != "?"), ""))

    def was_alone(self, others: list[dict[str, Any]]) -> bool:
        """Did nobody else ask for anything that could have caused it, going by time?"""
        begun, ended = self.did["begun"], self.did["ended"]
        return all(
            each is self.did or each["begun"] > ended or each["ended"] + AFTER_ANSWER_S < begun
            for each in others
        )

    @property
    def is_stated(self) -> bool:
        """Without other candidates, and with all confidence."""
        hop = self.record["hop"]
        return "candidates" not in hop and hop["confidence"] >= STATED


def judged(did: list[dict[str, Any]], records: list[Record]) -> list[Judged]:
    """Every program's call at its host: exactly one of each."""
    by_guest: dict[str, Record] = {}
    for record in as_last_said(records):
        if record["to"].get("service") == "ESX" and "guest_user" in record:
            assert record["guest_user"] not in by_guest, record["guest_user"]
            by_guest[record["guest_user"]] = record
    assert set(by_guest) == {each["guest"] for each in did}
    return [Judged(each, by_guest[each["guest"]]) for each in did]


def as_last_said(records: list[Record], kind: str = "action") -> list[Record]:
    """The records of a kind, each as its last amendment says."""
    last: dict[str, Record] = {}
    for record in records:
        if record["kind"] == kind:
            last[record["id"]] = record
        elif record["kind"] == "chain" and record.get("amends") in last:
            last[record["amends"]] = record
    return list(last.values())
