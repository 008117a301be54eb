"""Guest operations: a call at the server that acts inside a VM under an account of the guest.

Target is the VM. Of the arguments only paths and names stay: program arguments, environment,
registry values and the credentials can hold secrets.
"""

from decoders import ntlm, xml
from decoders.element import Element
from decoders.http import url_parameter
from decoders.message import (
    Call,
    GuestLogin,
    GuestLogout,
    Message,
    OperationClass,
    Outcome,
    Target,
)
from decoders.saml import principal
from decoders.soap import SoapTransaction
from decoders.vim25_call import API, call_of, ticket_of
from decoders.vim25_objects import moref

_OPERATIONS = """
    ValidateCredentialsInGuest AcquireCredentialsInGuest ReleaseCredentialsInGuest
    StartProgramInGuest ListProcessesInGuest TerminateProcessInGuest ReadEnvironmentVariableInGuest
    MakeDirectoryInGuest DeleteFileInGuest DeleteDirectoryInGuest MoveDirectoryInGuest
    MoveFileInGuest CreateTemporaryFileInGuest CreateTemporaryDirectoryInGuest ListFilesInGuest
    ChangeFileAttributesInGuest InitiateFileTransferFromGuest InitiateFileTransferToGuest
    CreateRegistryKeyInGuest ListRegistryKeysInGuest DeleteRegistryKeyInGuest
    SetRegistryValueInGuest ListRegistryValuesInGuest DeleteRegistryValueInGuest
    AddGuestAlias RemoveGuestAlias RemoveGuestAliasByCert ListGuestAliases ListGuestMappedAliases
    CustomizeGuest_Task StartGuestNetwork_Task AbortCustomization_Task
"""
GUEST_OPERATIONS = frozenset(_OPERATIONS.split())
_FILE, _PROGRAM, _PROCESS = "GuestFile", "GuestProgram", "GuestProcess"
_REGISTRY_KEY, _ALIAS_OWNER = "GuestRegistryKey", "GuestUser"
# Arguments that say what is acted on: path below the operation -> type.
_NAMES: dict[tuple[str, ...], str] = {
    ("spec", "programPath"): _PROGRAM,
    ("guestFilePath",): _FILE,
    ("filePath",): _FILE,
    ("directoryPath",): _FILE,
    ("srcFilePath",): _FILE,
    ("dstFilePath",): _FILE,
    ("srcDirectoryPath",): _FILE,
    ("dstDirectoryPath",): _FILE,
    ("keyName", "registryPath"): _REGISTRY_KEY,
    ("keyName",): _REGISTRY_KEY,
    ("valueName", "keyName", "registryPath"): _REGISTRY_KEY,
    ("value", "name", "keyName", "registryPath"): _REGISTRY_KEY,
    ("username",): _ALIAS_OWNER,
}
_ANOTHER_ROUND = "GuestAuthenticationChallenge"
# What a GuestAuthentication holds -> what VIX calls such a credential (vix_credentials.py).
_CREDENTIALS = {
    "ticket": "ticketed_session",
    "token": "saml_bearer_token",
    "sspiToken": "sspi",
    "username": "name_password",
}


def guest_call(soap: SoapTransaction) -> list[Message]:
    machine = moref(soap.arguments.at("vm"))
    credentials = soap.arguments.at("auth") or soap.arguments.at("requestedAuth")
    call = call_of(
        soap,
        OperationClass.GUEST,
        target=machine,
        related=_named(soap),
        outcome=Outcome.UNKNOWN if soap.fault == _ANOTHER_ROUND else soap.outcome,
        guest_user=_account(credentials),
        guest_interactive=credentials.value("interactiveSession").lower() in ("true", "1"),
        guest_ticket=soap.hash(credentials.value("ticket")),
    )
    return [call, *_issued(soap, machine), *_session(soap, call, credentials)]


def _session(soap: SoapTransaction, call: Call, credentials: Element) -> list[Message]:
    """What a GuestAuthManager's call does to a guest session; a further round does nothing."""
    ticket = call.guest_ticket
    match soap.operation:
        case "ReleaseCredentialsInGuest" if soap.succeeded:
            return [
                GuestLogout(
                    **soap.seen,
                    api=API,
                    operation=soap.operation,
                    target=call.target,
                    guest_user=call.guest_user,
                    ticket=ticket,
                )
            ]
        case "AcquireCredentialsInGuest" if soap.fault != _ANOTHER_ROUND:
            ticket = soap.hash(soap.result.value("returnval", "ticket")) if soap.succeeded else ""
        case "ValidateCredentialsInGuest":
            pass
        case _:
            return []
    held = (name for name in _CREDENTIALS if credentials.at(name))
    return [
        GuestLogin(
            **soap.seen,
            api=API,
            operation=soap.operation,
            outcome=call.outcome,
            target=call.target,
            guest_user=call.guest_user,
            credential=_CREDENTIALS.get(next(held, ""), ""),
            fault=soap.fault,
            interactive=call.guest_interactive,
            ticket=ticket,
        )
    ]


def _account(credentials: Element) -> str:
    """Name in a GuestAuthentication; "" of a TicketedSessionAuthentication, which says none."""
    if user := credentials.value("username"):
        return user
    if assertion := credentials.value("token"):
        return principal(xml.parse(assertion.encode())).subject
    return ntlm.user_of(credentials.value("sspiToken"))


def _named(soap: SoapTransaction) -> list[Target]:
    named = [
        Target(kind, name=text)
        for path, kind in _NAMES.items()
        if (text := soap.arguments.value(*path))
    ]
    named += [Target(_PROCESS, pid) for pid in soap.arguments.values("pid")]
    if soap.operation == "StartProgramInGuest" and (pid := soap.result.value("returnval")):
        named.append(Target(_PROCESS, pid))
    if soap.operation.startswith("CreateTemporary") and (path := soap.result.value("returnval")):
        named.append(Target(_FILE, name=path))
    return named


def _issued(soap: SoapTransaction, machine: Target) -> list[Message]:
    returned = soap.result.at("returnval")
    if soap.operation == "AcquireCredentialsInGuest":
        return ticket_of(soap, "guest", returned.value("ticket"), machine)
    if soap.operation.startswith("InitiateFileTransfer"):
        url = returned.value("url") or returned.text
        return ticket_of(soap, "guestfile", url_parameter(url.strip(), "token"), machine)
    return []
