"""Guest operations: the VM they act in, the guest's account, what they name, and no secret."""

import base64
import struct

import pytest

from decoders.message import (
    Call,
    GuestLogin,
    GuestLogout,
    OperationClass,
    Outcome,
    Target,
    TicketIssued,
)
from decoders.vim25 import Vim25
from decoders.vim25_guest import GUEST_OPERATIONS
from tests.decoders.crafting import (
    DIALECTS,
    Dialect,
    answer,
    fault,
    hasher,
    only,
    pyvmomi,
    transaction,
)

vim25 = Vim25(hasher)
PROCESSES = ("GuestProcessManager", "guestOperationsProcessManager")
FILES = ("GuestFileManager", "guestOperationsFileManager")
VM = '<vm type="VirtualMachine">vm-42</vm>'
MANAGER = ("GuestAuthManager", "guestOperationsAuthManager")
SESSIONS: dict[str, list[type]] = {
    "ValidateCredentialsInGuest": [GuestLogin],
    "AcquireCredentialsInGuest": [GuestLogin],
    "ReleaseCredentialsInGuest": [GuestLogout],
}
TICKETED = (
    '<auth xsi:type="TicketedSessionAuthentication"><interactiveSession>true</interactiveSession>'
    "<ticket>52g</ticket></auth>"
)
PASSWORD = (
    '<auth xsi:type="NamePasswordAuthentication"><interactiveSession>true</interactiveSession>'
    "<username>appadmin</username><password>s3cret</password></auth>"
)
PROGRAM = (
    "<spec><programPath>/bin/sh</programPath><arguments>-c 'echo s3cret'</arguments>"
    "<envVariables>TOKEN=s3cret</envVariables></spec>"
)


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


def test_program_in_guest(dialect: Dialect) -> None:
    request = dialect("StartProgramInGuest", PROCESSES, VM + PASSWORD + PROGRAM)
    done = transaction(request, answer("StartProgramInGuest", "<returnval>2001</returnval>"))
    call = only(vim25.transaction(done))
    assert isinstance(call, Call)
    assert (call.operation_class, call.outcome) == (OperationClass.GUEST, Outcome.SUCCESS)
    assert call.target == Target("VirtualMachine", "vm-42")
    assert (call.guest_user, call.guest_interactive) == ("appadmin", True)
    assert call.related == (
        Target("GuestProgram", name="/bin/sh"),
        Target("GuestProcess", "2001"),
    )
    assert "s3cret" not in repr(call)


def test_refused_in_guest(dialect: Dialect) -> None:
    request = dialect("StartProgramInGuest", PROCESSES, VM + PASSWORD + PROGRAM)
    call = only(vim25.transaction(transaction(request, fault("InvalidGuestLogin"), status=500)))
    assert (call.outcome, call.fault) == (Outcome.FAILURE, "InvalidGuestLogin")
    assert call.guest_user == "appadmin"


@pytest.mark.parametrize("operation", sorted(GUEST_OPERATIONS))
def test_every_guest_operation(operation: str) -> None:
    request = pyvmomi(operation, FILES, VM + PASSWORD)
    call, *beside = vim25.transaction(transaction(request, answer(operation)))
    assert isinstance(call, Call)
    assert (call.operation_class, call.target.id) == (OperationClass.GUEST, "vm-42")
    assert call.guest_user == "appadmin"
    assert [type(message) for message in beside] == SESSIONS.get(operation, [])


@pytest.mark.parametrize(
    ("operation", "arguments", "related"),
    [
        (
            "InitiateFileTransferToGuest",
            "<guestFilePath>/tmp/x.sh</guestFilePath>",
            [Target("GuestFile", name="/tmp/x.sh")],
        ),
        (
            "MoveFileInGuest",
            "<srcFilePath>C:\\a</srcFilePath><dstFilePath>C:\\b</dstFilePath>",
            [Target("GuestFile", name="C:\\a"), Target("GuestFile", name="C:\\b")],
        ),
        (
            "DeleteDirectoryInGuest",
            "<directoryPath>/srv</directoryPath>",
            [Target("GuestFile", name="/srv")],
        ),
        ("TerminateProcessInGuest", "<pid>77</pid>", [Target("GuestProcess", "77")]),
        (
            "SetRegistryValueInGuest",
            "<value><name><keyName><registryPath>HKLM\\Run</registryPath></keyName><name>x</name>"
            "</name><value><value>s3cret</value></value></value>",
            [Target("GuestRegistryKey", name="HKLM\\Run")],
        ),
        (
            "AddGuestAlias",
            "<username>root</username><mapCert>true</mapCert><base64Cert>TUlJ</base64Cert>",
            [Target("GuestUser", name="root")],
        ),
    ],
)
def test_what_a_guest_operation_names(
    operation: str, arguments: str, related: list[Target]
) -> None:
    request = pyvmomi(operation, FILES, VM + PASSWORD + arguments)
    call = only(vim25.transaction(transaction(request, answer(operation))))
    assert list(call.related) == related
    assert "s3cret" not in repr(call)


def test_saml_account() -> None:
    assertion = (
        "&lt;saml2:Assertion xmlns:saml2='u'&gt;&lt;saml2:Subject&gt;&lt;saml2:NameID&gt;"
        "alice@vsphere.local&lt;/saml2:NameID&gt;&lt;/saml2:Subject&gt;&lt;/saml2:Assertion&gt;"
    )
    auth = (
        '<auth xsi:type="SAMLTokenAuthentication"><interactiveSession>false</interactiveSession>'
        f"<token>{assertion}</token>{{}}</auth>"
    )
    for named, expected in (("", "alice@vsphere.local"), ("<username>svc</username>", "svc")):
        request = pyvmomi("ListProcessesInGuest", PROCESSES, VM + auth.format(named))
        call = only(vim25.transaction(transaction(request, answer("ListProcessesInGuest"))))
        assert (call.guest_user, call.guest_interactive) == (expected, False)


def test_sspi_and_ticketed_accounts() -> None:
    message = b"NTLMSSP\0" + struct.pack("<I", 3) + bytes(16) + struct.pack("<HHI", 0, 0, 64)
    message += struct.pack("<HHI", 3, 3, 64) + bytes(16) + struct.pack("<I", 0) + b"eve"
    token = base64.b64encode(message).decode()
    sspi = f'<auth xsi:type="SSPIAuthentication"><sspiToken>{token}</sspiToken></auth>'
    request = pyvmomi("ListProcessesInGuest", PROCESSES, VM + sspi)
    call = only(vim25.transaction(transaction(request, answer("ListProcessesInGuest"))))
    assert call.guest_user == "eve"
    ticketed = '<auth xsi:type="TicketedSessionAuthentication"><ticket>s3cret</ticket></auth>'
    request = pyvmomi("ListProcessesInGuest", PROCESSES, VM + ticketed)
    call = only(vim25.transaction(transaction(request, answer("ListProcessesInGuest"))))
    assert (call.guest_user, call.guest_ticket) == ("", hasher("s3cret"))
    assert "s3cret" not in repr(call)


def test_acquired_credentials_are_a_ticket() -> None:
    requested = PASSWORD.replace("auth", "requestedAuth", 1).replace("</auth>", "</requestedAuth>")
    request = pyvmomi("AcquireCredentialsInGuest", MANAGER, VM + requested)
    returned = (
        '<returnval xsi:type="TicketedSessionAuthentication"><interactiveSession>true'
        "</interactiveSession><ticket>52g</ticket></returnval>"
    )
    done = transaction(request, answer("AcquireCredentialsInGuest", returned))
    call, issued, login = vim25.transaction(done)
    assert isinstance(call, Call)
    assert isinstance(issued, TicketIssued)
    assert call.guest_user == "appadmin"
    assert (issued.kind, issued.ticket, issued.target.id) == ("guest", hasher("52g"), "vm-42")
    assert isinstance(login, GuestLogin)
    assert (login.guest_user, login.credential) == ("appadmin", "name_password")
    assert (login.outcome, login.ticket, login.target) == (
        Outcome.SUCCESS, hasher("52g"), call.target,
    )  # fmt: skip
    challenge = transaction(request, fault("GuestAuthenticationChallenge"), status=500)
    assert only(vim25.transaction(challenge)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "returned",
    [
        "<returnval>https://*:443/guestFile?id=9&amp;token=52tok</returnval>",
        "<returnval><size>1</size><url>https://e/guestFile?token=52tok&amp;id=9</url></returnval>",
    ],
)
def test_transfer_url_carries_a_ticket(returned: str) -> None:
    operation = "InitiateFileTransferFromGuest"
    request = pyvmomi(operation, FILES, VM + PASSWORD + "<guestFilePath>/etc/x</guestFilePath>")
    call, issued = vim25.transaction(transaction(request, answer(operation, returned)))
    assert isinstance(call, Call)
    assert isinstance(issued, TicketIssued)
    assert (issued.kind, issued.ticket) == ("guestfile", hasher("52tok"))
    assert call.related == (Target("GuestFile", name="/etc/x"),)


def test_validated_and_released_credentials() -> None:
    request = pyvmomi("ValidateCredentialsInGuest", MANAGER, VM + PASSWORD)
    _, login = vim25.transaction(transaction(request, fault("InvalidGuestLogin"), status=500))
    assert isinstance(login, GuestLogin)
    assert (login.outcome, login.fault) == (Outcome.FAILURE, "InvalidGuestLogin")
    assert (login.guest_user, login.interactive, login.ticket) == ("appadmin", True, "")
    request = pyvmomi("ValidateCredentialsInGuest", MANAGER, VM + TICKETED)
    done = transaction(request, answer("ValidateCredentialsInGuest"))
    _, login = vim25.transaction(done)
    assert isinstance(login, GuestLogin)
    assert (login.guest_user, login.credential, login.ticket) == (
        "", "ticketed_session", hasher("52g"),
    )  # fmt: skip
    request = pyvmomi("ReleaseCredentialsInGuest", MANAGER, VM + TICKETED)
    done = transaction(request, answer("ReleaseCredentialsInGuest"))
    call, logout = vim25.transaction(done)
    assert isinstance(call, Call)
    assert isinstance(logout, GuestLogout)
    assert (logout.target, logout.ticket) == (call.target, hasher("52g"))
    refused = transaction(request, fault("GuestOperationsUnavailable"), status=500)
    assert isinstance(only(vim25.transaction(refused)), Call)
