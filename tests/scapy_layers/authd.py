"""vmware-authd's dialog: a line per layer, CRLF at its end."""

from typing import Any

from scapy.config import conf
from scapy.fields import StrField
from scapy.packet import Packet

from tests.scapy_layers.fields import fields

_VERBS = (
    b"USER", b"PASS", b"XPAS", b"SESSION", b"BANNER", b"THUMBPRINT", b"THUMBPRINT_SHA2",
    b"PROXY", b"CONNECT", b"HELP", b"QUIT",
)  # fmt: skip


class _Word(StrField):
    """Up to the first space or the line's end."""

    def addfield(self, pkt: Any, s: bytes, val: Any) -> bytes:
        return s + self.i2m(pkt, val)

    def getfield(self, pkt: Any, s: bytes) -> tuple[bytes, bytes]:
        ends = [at for at in (s.find(b" "), s.find(b"\r\n")) if at >= 0]
        end = min(ends, default=len(s))
        return s[end:], s[:end]


class _Rest(StrField):
    """What follows the word, with its space if there is any, and the line's end."""

    def addfield(self, pkt: Any, s: bytes, val: Any) -> bytes:
        return s + (b" " + val if val is not None else b"") + b"\r\n"

    def getfield(self, pkt: Any, s: bytes) -> tuple[bytes, Any]:
        line, _, rest = s.partition(b"\r\n")
        return rest, line[1:] if line else None


class _Line(Packet):
    def guess_payload_class(self, payload: bytes) -> Any:
        return Authd if payload.strip() else conf.padding_layer


class Authd(_Line):
    """Any line; dissects as the one it is."""

    name = "authd line"
    fields_desc = fields(_Word("word", b""), _Rest("rest", None))

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> Any:
        if cls is not Authd or not _pkt:
            return cls
        word = _pkt.partition(b"\r\n")[0].partition(b" ")[0]
        if word[:3].isdigit():
            return AuthdReply
        return AuthdCommand if word.upper() in _VERBS else cls


class AuthdCommand(Authd):
    name = "authd command"
    fields_desc = fields(_Word("verb", b"USER"), _Rest("argument", None))


class AuthdReply(Authd):
    name = "authd reply"
    fields_desc = fields(_Word("code", b"200"), _Rest("text", b""))

    @property
    def is_banner(self) -> bool:
        return bool(self.code == b"220")

    @property
    def version(self) -> str:
        words: list[bytes] = self.text.split(b"Version ")[-1:]
        return words[0].split(b",")[0].split(b":")[0].strip().decode() if self.is_banner else ""

    @property
    def needs_tls(self) -> bool:
        return self.is_banner and b"ssl required" in self.text.lower()

    @property
    def capabilities(self) -> list[str]:
        parts = self.text.decode("latin-1").split(",")[1:] if self.is_banner else []
        return [part.strip() for part in parts if part.strip()]


def banner(version: str, capabilities: str, tls: bool = True) -> AuthdReply:
    required = ": SSL Required" if tls else ""
    said = f"VMware Authentication Daemon Version {version}{required}, {capabilities}"
    return AuthdReply(code=b"220", text=said.encode())
