"""Random valid conversations of port 902, made by the reference layers; every secret a canary.

A canary is letters of its own alphabet, so that a piece of one in any output shows itself.
"""

import base64
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.scapy_layers import authd, nfc, vix
from tests.scapy_layers.heartbeat import Heartbeat

_LETTERS = "QZXJKVWY"
CANARY_CHARS = 32
LEAK_CHARS = 8  # of a canary; a shorter run of its letters can be chance
CANARY = re.compile(rf"[{_LETTERS}]{{{LEAK_CHARS},}}")
_CODED = re.compile(r"(?=((?:[SUVW][A-Za-z0-9+/]{3}){2,}))")
_CODED_LETTERS = re.compile(rf"[{_LETTERS}]{{6}}")
USERS = ["root", "appadmin", "CORP\\eve", "jörg", "svc-backup@vsphere.local", "a"]
_PATHS = ["[ds1] web01/web01.vmdk", "[big store] db/db_1.vmdk", "[ds] ä/ü.vmdk"]
_CONFIGS = ["/vmfs/volumes/5f3c2a1b-9d8e7f60/web01/web01.vmx", "/vmfs/volumes/ds/db/db.vmx"]
_PROGRAMS = ["/bin/sh", "C:\\Windows\\System32\\cmd.exe", "/usr/bin/id"]


@dataclass(slots=True)
class Talk:
    """Pieces of one flow: (from the client, bytes). `fixed` of them only carry to the rest."""

    pieces: list[tuple[bool, bytes]] = field(default_factory=list)
    fixed: int = 0

    def say(self, data: object) -> None:
        self.pieces.append((True, bytes(data)))  # type: ignore[call-overload]

    def answer(self, data: object) -> None:
        self.pieces.append((False, bytes(data)))  # type: ignore[call-overload]


def canary(random: Random) -> bytes:
    return "".join(random.choices(_LETTERS, k=CANARY_CHARS)).encode()


def shows_canary(text: str) -> bool:
    """Also one that is base64-coded: its letters begin in four values of six bits."""
    if CANARY.search(text):
        return True
    return any(
        _CODED_LETTERS.search(base64.b64decode(found[1]).decode("latin-1"))
        for found in _CODED.finditer(text)
    )


def _greeting(talk: Talk, *, tls: bool = False) -> None:
    capabilities = "ServerDaemonProtocol:SOAP, MKSDisplayProtocol:VNC , VMXARGS supported, "
    talk.answer(authd.banner("1.10", capabilities + "NFCSSL supported/t", tls=tls))


def _command(talk: Talk, verb: str, argument: str | None = None) -> None:
    text = argument.encode() if argument is not None else None
    talk.say(authd.AuthdCommand(verb=verb.encode(), argument=text))


def _reply(talk: Talk, code: str, text: str) -> None:
    talk.answer(authd.AuthdReply(code=code.encode(), text=text.encode()))


def _login(talk: Talk, random: Random) -> None:
    user = random.choice(USERS)
    _command(talk, "USER", user)
    _reply(talk, "331", f"Password required for {user}.")
    _command(talk, "PASS", canary(random).decode())
    _reply(talk, *random.choice([("230", f"User {user} logged in."), ("530", "Login incorrect")]))


def authd_talk(random: Random) -> Talk:
    talk = Talk()
    _greeting(talk)
    talk.fixed = 1
    for _ in range(random.randint(1, 4)):
        _login(talk, random)
    if random.random() < 0.5:
        _command(talk, "SESSION", canary(random).decode())
    _command(talk, "BANNER", "")
    _greeting(talk)
    _command(talk, "THUMBPRINT", "PlainText")
    _reply(talk, "200", "AA:BB")
    if random.random() < 0.5:
        path = random.choice(_CONFIGS)
        _command(talk, "CONNECT", f"{path} mks")
        _reply(talk, "200", f"Connect {path}")
    else:
        _reply_to_proxy(talk)
    return talk


def _reply_to_proxy(talk: Talk) -> None:
    _command(talk, "PROXY", "vpxa-nfc")
    _reply(talk, "200", "Connect ha-nfc")


def _handed_over(random: Random) -> Talk:
    talk = Talk()
    _greeting(talk)
    _command(talk, "SESSION", canary(random).decode())
    _reply_to_proxy(talk)
    talk.fixed = len(talk.pieces)
    return talk


def nfc_talk(random: Random) -> Talk:
    talk = _handed_over(random)
    talk.say(nfc.NfcClientRandom())
    for _ in range(random.randint(2, 8)):
        path = random.choice(_PATHS).encode() + b"\0"
        match random.randrange(5):
            case 0:
                talk.say(nfc.NfcFileGet(path=path, file_type=random.randrange(8)))
                talk.answer(nfc.NfcFilePut(path=path, file_size=5))
                talk.answer(nfc.NfcFileData(data=random.randbytes(random.randint(1, 900))))
                talk.answer(nfc.NfcClassic(type=3))
            case 1:
                talk.say(nfc.NfcFilePut(path=path, file_type=random.randrange(8), file_size=9))
                talk.say(nfc.NfcFileData(data=random.randbytes(random.randint(1, 900))))
                talk.say(nfc.NfcClassic(type=3))
                talk.answer(nfc.NfcClassic(type=27))
            case 2:
                talk.say(nfc.NfcFileDelete(names=path, count=1))
                failed = random.randrange(2)
                talk.answer(nfc.NfcFileStatus(failed=failed, succeeded=1 - failed))
            case 3:
                talk.say(nfc.NfcFileRename(names=path + b"[ds] new\0", count=1))
                talk.answer(nfc.NfcFileStatus(succeeded=1))
            case _:
                talk.say(nfc.NfcFileGet(path=path))
                talk.answer(nfc.NfcError(kind=1, code=random.randrange(99), text=b"no"))
    talk.say(nfc.NfcClassic(type=4))
    return talk


def aio_talk(random: Random) -> Talk:
    talk = _handed_over(random)
    talk.say(nfc.NfcClientRandom())
    talk.say(nfc.NfcVersion())
    talk.answer(nfc.NfcVersion())
    talk.say(nfc.NfcConnection(client=b"vddk", operation_id=b"nbdmode"))
    talk.say(nfc.NfcAioSession())
    talk.answer(nfc.NfcAioSession())
    talk.fixed = len(talk.pieces)
    for operation in range(random.randint(1, 5)):
        path = random.choice(_PATHS).encode()
        flags = random.choice([0x1E, 0x1A])
        talk.say(nfc.NfcAioOpenFile(path=path, flags=flags, operation=3 * operation))
        handle = random.getrandbits(40)
        opened = nfc.NfcAioOpenedFile(handle=handle, capacity=1 << 30, operation=3 * operation)
        talk.answer(opened)
        data = random.randbytes(random.choice([512, 1024]))
        io = struct.pack("<QQQQI8x", handle, 0, len(data), 0, 1)
        talk.say(bytes(nfc.NfcAio(type=7, content=io, operation=3 * operation + 1)))
        talk.answer(bytes(nfc.NfcAio(type=7, content=io, operation=3 * operation + 1)))
        talk.say(nfc.NfcAioCloseFile(handle=handle, operation=3 * operation + 2))
    talk.say(nfc.NfcAio(type=3, content=bytes(4), operation=99))
    return talk


def _assertion(random: Random) -> bytes:
    signature = canary(random)
    return (
        b'<saml2:Assertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"><saml2:Subject>'
        b"<saml2:NameID>alice@vsphere.local</saml2:NameID></saml2:Subject><ds:SignatureValue>"
        + signature
        + b"</ds:SignatureValue></saml2:Assertion>"
    )


def _ntlm(random: Random) -> bytes:
    response, user = canary(random), b"eve"
    head = b"NTLMSSP\0" + struct.pack("<I", 3)
    head += struct.pack("<HHI", 0, 0, 64) + struct.pack("<HHI", 32, 32, 71)
    head += struct.pack("<HHI", 4, 4, 64) + struct.pack("<HHI", len(user), len(user), 68)
    head += bytes(16) + struct.pack("<I", 0)
    return base64.b64encode(head + b"CORP" + user + response)


def credential(random: Random) -> tuple[int, object]:
    name, secret = random.choice(USERS).encode(), canary(random)
    pseudo = b"__VMware_Vix_Shared_Secret_1__"
    makers: list[Callable[[], tuple[int, object]]] = [
        lambda: (random.choice([1, 4, 8]), vix.name_password(name, secret)),
        lambda: (random.choice([1, 4, 8]), vix.bare_name_password(name, secret)),
        lambda: (random.choice([6, 7]), vix.name_password(pseudo, secret)),
        lambda: (9, vix.VixTicket(ticket=secret)),
        lambda: (10, vix.VixSspi(token=_ntlm(random))),
        lambda: (random.choice([11, 12]), vix.saml(_assertion(random), random.choice([b"", name]))),
        lambda: (random.choice([0, 2, 3, 5]), b""),
    ]
    return random.choice([makers[0], *makers])()


def body(random: Random) -> tuple[int, object]:
    secret, path = canary(random), random.choice(["/etc/passwd", "C:\\a b\\ü"]).encode()
    program = random.choice(_PROGRAMS).encode()
    makers: list[tuple[int, object]] = [
        (4, vix.VixRunProgram(program=program, arguments=secret)),
        (185, vix.VixStartProgram(program=program, arguments=secret, environment=secret)),
        (46, vix.VixRunScript(interpreter=program, script=secret)),
        (18, vix.VixFile(path=path)),
        (177, vix.VixListFiles(path=path, pattern=b"*")),
        (76, vix.VixRename(old=path, new=b"/tmp/new")),
        (189, vix.VixTransferToGuest(path=path)),
        (193, vix.VixKill(pid=random.getrandbits(16))),
        (204, vix.VixSetRegistryValue(path=b"HKLM\\Run", value=b"x", data=secret)),
        (197, vix.VixAddAlias(user=b"root", certificate=secret)),
        (190, vix.VixAcquireCredentials(session=0)),
        *((opcode, b"") for opcode in (0, 1, 50, 75, 78, 87, 191, 192)),
        (14, vix.VixCreateSnapshot(label=b"before")),
        (47, b"\0\0\0\0" + random.choice(_CONFIGS).encode() + b"\0"),
    ]
    return random.choice(makers)


def vix_talk(random: Random) -> Talk:
    talk = Talk()
    if random.random() < 0.5:
        _greeting(talk)
        _command(talk, "SESSION", canary(random).decode())
        path = random.choice(_CONFIGS)
        _command(talk, "CONNECT", f"{path} vix")
        _reply(talk, "200", f"Connect {path}")
        talk.fixed = len(talk.pieces)
    for cookie in range(1, random.randint(2, 9)):
        kind, region = credential(random)
        opcode, content = body(random)
        talk.say(
            vix.VixRequest(
                flags=random.choice([1, 5]),
                opcode=opcode,
                request_flags=random.choice([0, 8]),
                cookie=cookie,
                handle=random.randrange(3),
                credential_type=kind,
                body=content,
                credential=region,
            )
        )
        error = random.choice([0, 0, 0, 35, 3015, 3016])
        returned = canary(random) + b"\0" if opcode == 190 and not error else b""
        talk.answer(vix.VixResponse(cookie=cookie, error=error, body=returned))
    return talk


def heartbeat_talk(random: Random) -> Talk:
    """Each piece is a datagram."""
    talk = Talk()
    for counter in range(random.randint(1, 8)):
        talk.say(
            Heartbeat(
                magic=random.getrandbits(32),
                build_number=random.getrandbits(25),
                server_id=random.getrandbits(32),
                host_key=random.randbytes(16).hex()[: random.randint(1, 32)].encode(),
                address=f"10.{random.randrange(256)}.3.{random.randrange(256)}".encode(),
                counter=counter,
                signature=random.randbytes(random.choice([16, 256])),
            )
        )
    return talk


TALKS: dict[str, Callable[[Random], Talk]] = {
    "authd": authd_talk,
    "nfc": nfc_talk,
    "aio": aio_talk,
    "vix": vix_talk,
    "heartbeat": heartbeat_talk,
}
