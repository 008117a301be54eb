"""Who a forward proxy knows its client as: Proxy-Authorization (RFC 9110 section 11.7).

The header may stand in a CONNECT or in a request in absolute form; the account is the proxy's, and
stands above whatever account the request itself goes under. In a request that is for the server
behind, inside a tunnel or on the proxy's other side, the header is a client's mistake.
"""

from decoders import ntlm
from decoders.api import Api
from decoders.http import Headers, basic_user, printable, scheme
from decoders.message import (
    LoginMethod,
    Message,
    Outcome,
    ProxyLogin,
    Rule,
    Transaction,
    TransactionFlag,
)
from decoders.seen import seen_of

HEADER = "proxy-authorization"
_MARK = HEADER.encode() + b":"
_DENIED = 407
_NEGOTIATED = ("ntlm", "negotiate", "kerberos")


class ForwardProxy(Api):
    """Reads beside the decoder that claims the transaction: a proxy passes on any protocol."""

    name = "forwardproxy"
    headers = (HEADER,)

    def rules(self) -> list[Rule]:
        return [Rule(0, method="CONNECT", path="*")]

    def concerns(self, transaction: Transaction) -> bool:
        """Does it show credentials for a proxy? Cheap: asked of every transaction."""
        return _MARK in transaction.request_head.lower()

    def transaction(self, transaction: Transaction) -> list[Message]:
        """What it says of its client's account at the proxy."""
        if not _is_for_proxy(transaction) or _is_another_round(transaction):
            return []
        request = Headers(transaction.request_head)
        credentials = request.first(HEADER)
        negotiated = scheme(credentials) in _NEGOTIATED
        user = (
            ntlm.user_of(credentials.partition(" ")[2]) if negotiated else basic_user(credentials)
        )
        if not user:
            return []
        denied = transaction.status == _DENIED
        return [
            ProxyLogin(
                **seen_of(
                    transaction, request, "" if negotiated else self._hasher(credentials), ""
                ),
                user=printable(user),
                method=LoginMethod.SSPI if negotiated else LoginMethod.BASIC,
                outcome=_outcome(transaction),
                fault=f"HTTP {_DENIED}" if denied else "",
                destination=printable(transaction.target)
                if transaction.method == "CONNECT"
                else "",
            )
        ]


def _is_for_proxy(transaction: Transaction) -> bool:
    if transaction.flags & TransactionFlag.TUNNELLED:
        return False
    absolute = "://" in transaction.target[:16]
    return transaction.method == "CONNECT" or transaction.status == _DENIED or absolute


def is_refused(transaction: Transaction) -> bool:
    """Did a proxy ask for credentials, instead of passing the request on?"""
    return transaction.status == _DENIED and not transaction.flags & TransactionFlag.TUNNELLED


def _outcome(transaction: Transaction) -> Outcome:
    """Any answer but 407 shows that the credentials were taken."""
    if transaction.status == 0:
        return Outcome.UNKNOWN
    return Outcome.FAILURE if transaction.status == _DENIED else Outcome.SUCCESS


def _is_another_round(transaction: Transaction) -> bool:
    """A 407 that carries a challenge for these credentials goes on."""
    if transaction.status != _DENIED:
        return False
    response = Headers(transaction.response_head)
    challenges = response.all("proxy-authenticate")
    return any(
        scheme(each) in _NEGOTIATED and each.partition(" ")[2].strip() for each in challenges
    )
