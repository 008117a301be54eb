"""What every message of a transaction shares, and what its status alone says."""

from typing import TypedDict

from decoders.http import Headers, forwarded_for, passed_by
from decoders.message import Outcome, Transaction, TransactionFlag


class Seen(TypedDict):
    """The fields that every Message has."""

    time_ns: int
    end_ns: int
    token: str
    user_agent: str
    forwarded_for: str
    via: str
    operation_id: str


def seen_of(transaction: Transaction, request: Headers, token: str, operation_id: str) -> Seen:
    return {
        "time_ns": transaction.request_ns,
        "end_ns": transaction.end_ns,
        "token": token,
        "user_agent": request.text("user-agent"),
        "forwarded_for": forwarded_for(request),
        "via": passed_by(request),
        "operation_id": operation_id,
    }


def outcome_of(transaction: Transaction) -> Outcome:
    if transaction.status == 0 or transaction.flags & TransactionFlag.NO_RESPONSE:
        return Outcome.UNKNOWN
    return Outcome.SUCCESS if 200 <= transaction.status < 300 else Outcome.FAILURE
