"""Guest operations: a call at the server that acts inside a VM under an account of the guest.

Target is the VM. Of the arguments only paths and names stay: program arguments, environment,
registry values and the credentials can hold secrets.
"""

from decoders import ntlm, xml
from decoders.element import Element
from decoders.http import url_parameter
from decoders.message import Message, OperationClass, Outcome, Target
from decoders.saml import principal
from decoders.soap import SoapTransaction
from decoders.vim25_call import call_of, ticket_of
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
    )
    return [call, *_issued(soap, machine)]


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
