"""Administration of vCenter Single Sign-On, and its directory of services: accounts, groups,
passwords, roles, identity sources (/sso-adminserver), and which endpoint is whose
(/lookupservice).

SOAP like vim25, under namespaces of its own. A session begins with a SAML token in the header;
the lookup service takes one with each request that changes something.
"""

from decoders.api import Api
from decoders.element import Element
from decoders.http import Headers, path_of, printable
from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    Outcome,
    Rule,
    SessionExpired,
    Target,
    Transaction,
    Want,
)
from decoders.saml import Principal, principal
from decoders.seen import Seen, outcome_of, seen_of
from decoders.soap import envelope, fault_name

API, LOOKUP = "sso-admin", "lookup"
_PATHS = {"/sso-adminserver": API, "/lookupservice": LOOKUP, "/ls/sdk": LOOKUP}
_COOKIES = ("vmware_soap_session", "JSESSIONID")
_NOT_LOGGED_IN = "NotAuthenticated"
_VERBS = {
    OperationClass.CREATE: "Add Create Register Grant Import",
    OperationClass.DELETE: "Delete Remove Revoke Unregister",
    OperationClass.UPDATE: "Set Update Reset Enable Disable Unlock Lock Change Rename Join Leave",
}
# Arguments that name what is changed, and its type; of two the first is the target.
_NAMES = {
    "groupName": "Group",
    "groupId": "Group",
    "userName": "User",
    "userId": "User",
    "principalName": "Principal",
    "principalId": "Principal",
    "domainName": "Domain",
    "serviceId": "ServiceRegistration",
    "userIds": "User",
    "groupIds": "Group",
    "principalsIds": "Principal",
    "role": "Role",
    "name": "Domain",
}
RELATED_MAX = 64


class SsoAdmin(Api):
    name = API
    cookies = _COOKIES

    def rules(self) -> list[Rule]:
        both = Want.REQUEST_BODY | Want.RESPONSE_BODY
        return [Rule(both, method="POST", path=f"{path}*") for path in _PATHS]

    def claims(self, transaction: Transaction) -> bool:
        return transaction.method == "POST" and bool(_api(transaction))

    def transaction(self, transaction: Transaction) -> list[Message]:
        request, response = Headers(transaction.request_head), Headers(transaction.response_head)
        header, asked = envelope(transaction.request_body)
        _, answered = envelope(transaction.response_body)
        fault = fault_name(answered).rpartition("Fault")[2] if answered.name == "Fault" else ""
        outcome = Outcome.FAILURE if fault else outcome_of(transaction)
        if outcome is Outcome.FAILURE and not fault:
            fault = f"HTTP {transaction.status}"
        secret = next((each for name in _COOKIES if (each := request.cookie(name))), "")
        token = self._token(secret) if secret else ""
        seen = seen_of(transaction, request, token, transaction.operation_id)
        api, operation = _api(transaction), asked.name or transaction.operation
        if operation == "Login":
            new = [value for name in _COOKIES for value in response.set_cookies(name)]
            return [self._login(seen, api, principal(header), outcome, fault, new)]
        if operation == "Logout":
            ended = Logout(**seen, api=api, operation=operation, outcome=outcome, fault=fault)
            return [ended]
        kind = operation_class(operation)
        if kind is None:
            return []
        target, *related = _named(asked) or [Target()]
        messages: list[Message] = [
            Call(
                **seen,
                api=api,
                operation=operation,
                operation_class=kind,
                target=target,
                related=tuple(related)[:RELATED_MAX],
                outcome=outcome,
                fault=fault,
                user=principal(header).subject if not token else "",
            )
        ]
        if fault == _NOT_LOGGED_IN and token:
            messages.append(SessionExpired(**seen))
        return messages

    def _token(self, secret: str) -> str:
        """Clients send the cookie of /sdk along, whose session is another one."""
        return self._hasher(f"{API}:{secret}")

    def _login(
        self,
        seen: Seen,
        api: str,
        holder: Principal,
        outcome: Outcome,
        fault: str,
        new: list[str],
    ) -> Login:
        succeeded = outcome is Outcome.SUCCESS
        return Login(
            **seen,
            api=api,
            operation="Login",
            method=LoginMethod.SAML,
            outcome=outcome,
            fault=fault,
            user=holder.subject,
            claimed=holder.subject,
            new_tokens=tuple(self._token(each) for each in new) if succeeded else (),
            delegates=holder.delegates,
            assertion=self._hasher(holder.identity) if holder.identity else "",
            details=holder.details,
        )


def operation_class(operation: str) -> OperationClass | None:
    """By the first word of its name; None: no change."""
    for kind, verbs in _VERBS.items():
        for verb in verbs.split():
            following = operation[len(verb) :]
            if operation.startswith(verb) and not following[:1].islower():
                return kind
    return None


def _api(transaction: Transaction) -> str:
    path = path_of(transaction.target)
    return next((api for start, api in _PATHS.items() if path.startswith(start)), "")


def _named(asked: Element) -> list[Target]:
    """Accounts, groups, domains, services: by name. Nothing else is read: passwords stand there."""
    return [
        Target(kind, name=name)
        for argument, kind in _NAMES.items()
        for element in asked.all(argument)
        if (name := _name(element))
    ]


def _name(element: Element) -> str:
    """Text, or a PrincipalId of name and domain."""
    name, domain = element.value("name"), element.value("domain")
    if name:
        return printable(f"{name}@{domain}" if domain else name)
    return printable(element.text.strip()) if not element.children else ""
