"""What decoders of token-bearing REST APIs share: how a transaction is read, and its course.

A subclass says which paths are its own, where the token stands, and what a login and a change look
like there.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from decoders import jsontree
from decoders.api import Api
from decoders.element import Element
from decoders.http import Headers, path_of, query_of
from decoders.message import Message, Outcome, Rule, SessionExpired, Transaction
from decoders.rest import RestTransaction, token_seen
from decoders.rest_calls import CHANGING
from decoders.seen import outcome_of, seen_of


class RestApi(Api, ABC):
    request_id: ClassVar[str] = "x-request-id"  # header by which a client names its request

    @abstractmethod
    def rules(self) -> list[Rule]: ...

    @abstractmethod
    def claims(self, transaction: Transaction) -> bool: ...

    @abstractmethod
    def secret(self, request: Headers, path: str, asked: Element) -> str:
        """The token that the request carries."""

    @abstractmethod
    def session(self, rest: RestTransaction) -> list[Message] | None:
        """Of a login, a logout, a look at a session; None of anything else."""

    @abstractmethod
    def action(self, rest: RestTransaction) -> list[Message]:
        """Of a POST, PUT, PATCH or DELETE that is none of a session."""

    def look(self, rest: RestTransaction) -> list[Message]:
        """Of anything else that was asked for: what it says of tasks and sessions."""
        del rest
        return []

    def fault(self, answered: Element, status: int) -> str:
        """How the API names what it refused; by default the status."""
        del answered
        return f"HTTP {status}"

    def refused(self, answered: Element) -> bool:
        """Does a body say that the call failed, although the status says it did not?"""
        del answered
        return False

    def asked(self, request: Headers, transaction: Transaction) -> Element:
        """What the request says besides its path."""
        return self.tree(request, transaction.request_body)

    def result(self, answered: Element) -> Element:
        """What of an answer the call was for."""
        return answered

    def tree(self, headers: Headers, body: bytes) -> Element:
        return body_of(headers, body)

    def operation_id(self, request: Headers, transaction: Transaction) -> str:
        """By which the client names its request."""
        del transaction
        return request.text(self.request_id)

    def transaction(self, transaction: Transaction) -> list[Message]:
        rest = self._read(transaction)
        messages = self.session(rest)
        if messages is not None:
            return messages
        messages = self.action(rest) if rest.method in CHANGING else self.look(rest)
        if transaction.status == 401 and rest.seen["token"]:
            messages.append(SessionExpired(**rest.seen))
        return messages or token_seen(rest)

    def _read(self, transaction: Transaction) -> RestTransaction:
        request, response = Headers(transaction.request_head), Headers(transaction.response_head)
        path = path_of(transaction.target).rstrip("/")
        asked = self.asked(request, transaction)
        secret = self.secret(request, path, asked)
        token = self._hasher(secret) if secret else ""
        answered = self.tree(response, transaction.response_body)
        outcome = Outcome.FAILURE if self.refused(answered) else outcome_of(transaction)
        failed = outcome is Outcome.FAILURE
        return RestTransaction(
            transaction=transaction,
            method=transaction.method,
            path=path,
            request=request,
            response=response,
            asked=asked,
            answered=self.result(answered),
            outcome=outcome,
            fault=self.fault(answered, transaction.status) if failed else "",
            seen=seen_of(transaction, request, token, self.operation_id(request, transaction)),
            hasher=self._hasher,
        )


def body_of(headers: Headers, body: bytes) -> Element:
    """JSON, or a form: its fields as children."""
    if "form-urlencoded" not in headers.first("content-type").lower():
        return jsontree.parse(body)
    form = Element("body")
    fields = query_of(f"?{body.decode('latin-1')}")
    form.children = [Element(name, value) for name, value in fields.items()]
    return form
