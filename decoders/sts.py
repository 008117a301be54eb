"""The security token service of vCenter Single Sign-On: who asked for a SAML token, in whose name.

WS-Trust 1.3 and 1.4 over SOAP: a RequestSecurityToken in the body, the requester's own credentials
in the header's Security entry (WS-Security 1.1). A token is an identity, so issuing and renewing
one is a login; with ActAs or DelegateTo the token names who may act for its subject.
"""

from decoders import ntlm
from decoders.api import Api
from decoders.element import Element
from decoders.http import Headers, path_of
from decoders.message import (
    Login,
    LoginMethod,
    Message,
    Outcome,
    Rule,
    Transaction,
    Want,
)
from decoders.saml import Principal, principal
from decoders.seen import outcome_of, seen_of
from decoders.soap import envelope, fault_name

API = "sts"
_REQUEST = "RequestSecurityToken"
_PATH = "/sts/"
_RENEW, _VALIDATE, _CANCEL = "Renew", "Validate", "Cancel"
_BOTH = Want.REQUEST_BODY | Want.RESPONSE_BODY


class Sts(Api):
    name = API

    def rules(self) -> list[Rule]:
        return [
            Rule(_BOTH, operation=_REQUEST),
            Rule(_BOTH, method="POST", path=f"{_PATH}*"),
        ]

    def claims(self, transaction: Transaction) -> bool:
        return transaction.method == "POST" and (
            transaction.operation == _REQUEST or path_of(transaction.target).startswith(_PATH)
        )

    def transaction(self, transaction: Transaction) -> list[Message]:
        header, asked = envelope(transaction.request_body)
        if asked.name != _REQUEST:
            return []
        _, answered = envelope(transaction.response_body)
        fault = fault_name(answered) if answered.name == "Fault" else ""
        outcome = Outcome.FAILURE if fault else outcome_of(transaction)
        issued = principal(answered)
        kind = asked.value("RequestType").rpartition("/")[2]
        if kind in (_VALIDATE, _CANCEL) or _is_another_round(outcome, issued, answered):
            return []
        if outcome is Outcome.FAILURE and not fault:
            fault = f"HTTP {transaction.status}"
        method, claimed = _credentials(header.at("Security"), asked)
        before = principal(asked.at("RenewTarget") if kind == _RENEW else asked.at("ActAs"))
        request = Headers(transaction.request_head)
        return [
            Login(
                **seen_of(transaction, request, "", ""),
                api=API,
                operation=kind or "Issue",
                method=method,
                outcome=outcome,
                fault=fault,
                user=issued.subject or before.subject or claimed,
                claimed=claimed,
                delegates=issued.delegates,
                assertion=self._hasher(issued.identity) if issued.identity else "",
                details=(*_asked_for(asked, before), *issued.details),
            )
        ]


def _is_another_round(outcome: Outcome, issued: Principal, answered: Element) -> bool:
    """A challenge that the client answers in its next request: neither a token nor a refusal."""
    rounds = any(each.name in ("BinaryExchange", "Challenge") for each in answered.walk())
    return outcome is Outcome.SUCCESS and not issued.subject and rounds


def _credentials(security: Element, asked: Element) -> tuple[LoginMethod, str]:
    """By what the requester is known, and the name he gives, if it can be read."""
    if name := security.value("UsernameToken", "Username"):
        return LoginMethod.PASSWORD, name
    if exchange := asked.value("BinaryExchange"):
        return LoginMethod.SSPI, ntlm.user_of(exchange)
    if security.at("Assertion"):
        return LoginMethod.SAML, principal(security).subject
    return LoginMethod.CERTIFICATE, ""


def _asked_for(asked: Element, before: Principal) -> tuple[tuple[str, str], ...]:
    stated = (
        ("act_as", before.subject if asked.at("ActAs") else ""),
        ("delegate_to", asked.value("DelegateTo", "UsernameToken", "Username")),
    )
    return tuple(pair for pair in stated if pair[1])
