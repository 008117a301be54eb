"""VIX: requests, responses and events."""

import struct
from typing import Any

from scapy.config import conf
from scapy.fields import (
    FieldLenField,
    FlagsField,
    LEIntEnumField,
    LEIntField,
    LELongField,
    LEShortField,
    LESignedIntField,
    PacketLenField,
    StrField,
    XLEIntField,
)
from scapy.packet import Packet

from tests.scapy_layers.fields import fields, names_in
from tests.scapy_layers.vix_bodies import (
    BODIES,
    VixAcquireCredentials,
    VixAddAlias,
    VixCreateSnapshot,
    VixFile,
    VixKill,
    VixListFiles,
    VixProgramRan,
    VixRename,
    VixRenameEx,
    VixRunProgram,
    VixRunScript,
    VixSetRegistryValue,
    VixStartProgram,
    VixTransferToGuest,
)
from tests.scapy_layers.vix_credentials import (
    CREDENTIALS,
    VixBareNamePassword,
    VixNamePassword,
    VixSaml,
    VixSspi,
    VixTicket,
    bare_name_password,
    clear_of,
    name_password,
    obfuscated,
    saml,
)

__all__ = [
    "COMMON_FLAGS",
    "CREDENTIAL_TYPES",
    "ERRORS",
    "MAGIC",
    "OPCODES",
    "Vix",
    "VixAcquireCredentials",
    "VixAddAlias",
    "VixBareNamePassword",
    "VixCreateSnapshot",
    "VixEvent",
    "VixFile",
    "VixKill",
    "VixListFiles",
    "VixNamePassword",
    "VixProgramRan",
    "VixRename",
    "VixRenameEx",
    "VixRequest",
    "VixResponse",
    "VixRunProgram",
    "VixRunScript",
    "VixSaml",
    "VixSetRegistryValue",
    "VixSspi",
    "VixStartProgram",
    "VixTicket",
    "VixTransferToGuest",
    "bare_name_password",
    "clear_of",
    "name_password",
    "obfuscated",
    "saml",
]

MAGIC = 0xD00D0001
OPCODES = names_in("""
    0 VM_POWERON 1 VM_POWEROFF 2 VM_RESET 3 VM_SUSPEND 4 RUN_PROGRAM 12 COPY_FILE_FROM_GUEST_TO_HOST
    13 COPY_FILE_FROM_HOST_TO_GUEST 14 CREATE_SNAPSHOT 15 REMOVE_SNAPSHOT 16 REVERT_TO_SNAPSHOT
    17 VM_CLONE 18 DELETE_GUEST_FILE 20 FIND_VM 32 DELETE_VM 46 RUN_SCRIPT_IN_GUEST 47 OPEN_VM
    50 GET_HANDLE_STATE 58 CAPTURE_SCREEN 72 DELETE_GUEST_DIRECTORY 75 LIST_PROCESSES
    76 MOVE_GUEST_FILE 77 CREATE_DIRECTORY 78 CHECK_USER_ACCOUNT 79 LIST_DIRECTORY 80 REGISTER_VM
    81 UNREGISTER_VM 85 KILL_PROCESS 87 LOGOUT_IN_GUEST 94 GET_FILE_INFO 110 CONNECT_HOST
    122 VM_PAUSE 123 VM_UNPAUSE 151 GET_VMX_DEVICE_STATE 157 LOGOUT_HOST 174 GENERATE_NONCE
    177 LIST_FILES 178 CREATE_DIRECTORY_EX 179 MOVE_GUEST_FILE_EX 185 START_PROGRAM
    186 LIST_PROCESSES_EX 187 READ_ENV_VARIABLES 188 INITIATE_FILE_TRANSFER_FROM_GUEST
    189 INITIATE_FILE_TRANSFER_TO_GUEST 190 ACQUIRE_CREDENTIALS 191 RELEASE_CREDENTIALS
    192 VALIDATE_CREDENTIALS 193 TERMINATE_PROCESS 194 DELETE_GUEST_FILE_EX
    195 DELETE_GUEST_DIRECTORY_EX 197 ADD_AUTH_ALIAS 203 DELETE_REGISTRY_KEY 204 SET_REGISTRY_VALUE
""")
CREDENTIAL_TYPES = names_in("""
    0 NONE 1 NAME_PASSWORD 2 ANONYMOUS 3 ROOT 4 NAME_PASSWORD_OBFUSCATED 5 CONSOLE_USER
    6 HOST_CONFIG_SECRET 7 HOST_CONFIG_HASHED_SECRET 8 NAMED_INTERACTIVE_USER 9 TICKETED_SESSION
    10 SSPI 11 SAML_BEARER_TOKEN 12 SAML_BEARER_TOKEN_HOST_VERIFIED
""")
ERRORS = names_in("""
    0 OK 1 FAIL 3 INVALID_ARG 4 FILE_NOT_FOUND 10 CANCELLED 35 AUTHENTICATION_FAIL
    3014 HOST_USER_PERMISSIONS 3015 GUEST_USER_PERMISSIONS 3016 TOOLS_NOT_RUNNING
    3017 GUEST_OPERATIONS_PROHIBITED 3024 CANNOT_AUTHENTICATE_WITH_GUEST
    3034 INTERACTIVE_SESSION_NOT_PRESENT 3050 INVALID_LOGIN_CREDENTIALS 20005 OPERATION_DISABLED
""")
COMMON_FLAGS = [
    "request", "event", "to_guest", "string", "integer_string", "deprecated", "property_list",
    "binary",
]  # fmt: skip


class _Region(PacketLenField):
    """A region whose layer depends on a number of the message."""

    __slots__ = ("layers", "selector")

    def __init__(self, name: str, selector: str, layers: dict[int, type[Packet]]) -> None:
        super().__init__(
            name,
            conf.raw_layer(b""),
            conf.raw_layer,
            length_from=lambda packet: getattr(packet, f"{name}_length"),
        )
        self.selector, self.layers = selector, layers

    def m2i(self, pkt: Any, m: bytes) -> Packet:
        number = getattr(pkt, self.selector, -1) if self.selector else -1
        layer = self.layers.get(number, conf.raw_layer)
        try:
            return layer(m)
        except (struct.error, ValueError, IndexError):
            return conf.raw_layer(m)


def _header(flags: int) -> list[Any]:
    return [
        XLEIntField("magic", MAGIC),
        LEShortField("version", 5),
        LEIntField("total_length", None),
        LEIntField("header_length", 51),
        FieldLenField("body_length", None, fmt="<I", length_of="body"),
        FieldLenField("credential_length", None, fmt="<I", length_of="credential"),
        FlagsField("flags", flags, 8, COMMON_FLAGS),
    ]


class Vix(Packet):
    """Any message; dissects as a request or a response."""

    name = "VIX"
    fields_desc = fields(*_header(0), StrField("rest", b""))

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> Any:
        if cls is not Vix or not _pkt or len(_pkt) < 51:
            return cls
        if _pkt[22] & 1:
            return VixRequest
        return VixEvent if _pkt[22] & 2 else VixResponse

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        if self.total_length is None:
            pkt = pkt[:6] + struct.pack("<I", len(pkt)) + pkt[10:]
        return pkt + pay

    def guess_payload_class(self, payload: bytes) -> Any:
        return Vix if payload[:4] == struct.pack("<I", MAGIC) else conf.raw_layer


class VixRequest(Vix):
    name = "VIX request"
    fields_desc = fields(
        *_header(1),
        LEIntEnumField("opcode", 0, OPCODES),
        XLEIntField("request_flags", 0),
        XLEIntField("timeout", 0xFFFFFFFF),
        LELongField("cookie", 0),
        LEIntField("handle", 0),
        LEIntEnumField("credential_type", 0, CREDENTIAL_TYPES),
        _Region("body", "opcode", BODIES),
        _Region("credential", "credential_type", CREDENTIALS),
    )


def _answer() -> list[Any]:
    return [
        LELongField("cookie", 0),
        XLEIntField("response_flags", 0),
        LEIntField("duration", 0),
        LEIntEnumField("error", 0, ERRORS),
        LEIntField("additional_error", 0),
        LEIntField("error_data_length", 0),
    ]


class VixResponse(Vix):
    name = "VIX response"
    fields_desc = fields(
        *_header(0), *_answer(), _Region("body", "", {}), _Region("credential", "", {})
    )


class VixEvent(Vix):
    name = "VIX event"
    fields_desc = fields(
        *_header(2),
        *_answer(),
        LESignedIntField("event_type", 0),
        _Region("body", "", {}),
        _Region("credential", "", {}),
    )

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        return super().post_build(pkt[:10] + struct.pack("<I", 55) + pkt[14:], pay)
