"""A vim25 operation told as a Call: what the handlers of operations share."""

from collections.abc import Sequence

from decoders.http import basic_user
from decoders.message import Call, Message, OperationClass, Outcome, Target, TicketIssued
from decoders.soap import SoapTransaction
from decoders.vim25_objects import is_moref, moref, this_of

API = "vim25"
RELATED_MAX = 64  # objects named by one call; a PowerOnMultiVM_Task can name hundreds


def call_of(
    soap: SoapTransaction,
    operation_class: OperationClass,
    *,
    target: Target | None = None,
    related: Sequence[Target] = (),
    outcome: Outcome | None = None,
    guest_user: str = "",
    guest_interactive: bool = False,
    guest_ticket: str = "",
    sessions: tuple[str, ...] = (),
    initiated_by: str = "",
    activation_id: str = "",
    task: str = "",
) -> Call:
    """`task` and what else the response returned are read here."""
    returned = [moref(value) for value in soap.result.all("returnval") if is_moref(value)]
    tasks = [found.id for found in returned if found.type == "Task"]
    named = [*related, *(found for found in returned if found.type != "Task")]
    return Call(
        **soap.seen,
        api=API,
        operation=soap.operation,
        operation_class=operation_class,
        target=this_of(soap) if target is None else target,
        related=tuple(dict.fromkeys(named))[:RELATED_MAX],
        outcome=soap.outcome if outcome is None else outcome,
        fault=soap.fault,
        task=task or next(iter(tasks), ""),
        guest_user=guest_user,
        guest_interactive=guest_interactive,
        guest_ticket=guest_ticket,
        user=basic_user(soap.request.first("authorization")),
        sessions=sessions,
        initiated_by=initiated_by,
        activation_id=activation_id,
    )


def ticket_of(soap: SoapTransaction, kind: str, secret: str, target: Target) -> list[Message]:
    """The ticket that a successful call handed out; nothing when there is none."""
    if not secret or not soap.succeeded:
        return []
    return [TicketIssued(**soap.seen, kind=kind, ticket=soap.hash(secret), target=target)]
