"""A framed transaction read as REST: what the decoders of REST protocols hand to their parts."""

from dataclasses import dataclass, field

from decoders.element import Element
from decoders.http import Headers
from decoders.message import Hasher, Message, Outcome, SessionSeen, Transaction, TransactionFlag
from decoders.seen import Seen


@dataclass(frozen=True, slots=True)
class RestTransaction:
    transaction: Transaction
    method: str
    path: str  # without query
    request: Headers
    response: Headers
    asked: Element  # body of the request
    answered: Element  # body of the response
    outcome: Outcome
    fault: str  # as the API names it, or "HTTP 403"
    seen: Seen
    hasher: Hasher = field(repr=False)

    @property
    def succeeded(self) -> bool:
        return self.outcome is Outcome.SUCCESS

    @property
    def segments(self) -> list[str]:
        return [segment for segment in self.path.split("/") if segment]

    def hash(self, secret: str) -> str:
        return self.hasher(secret) if secret else ""

    def hashes(self, secrets: list[str]) -> tuple[str, ...]:
        """One for each different secret, in order."""
        return tuple(dict.fromkeys(self.hash(secret) for secret in secrets if secret))


def token_seen(rest: RestTransaction) -> list[Message]:
    """Of a transaction that says nothing else: a token that is new on its flow, and is taken."""
    new = rest.transaction.flags & TransactionFlag.NEW_TOKEN
    return [SessionSeen(**rest.seen)] if new and rest.seen["token"] and rest.succeeded else []
