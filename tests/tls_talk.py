"""Real TLS between two ends in memory, put on one or several TCP flows, with its key log.

talk = TlsTalk(directory, Conversation(client, 40000, server, 443))
talk.exchange(request("POST", "/sdk", body=b"..."), response(200))
write_pcap(path, talk.flows[0].packets()); talk.keys
"""

import ssl
from pathlib import Path

from tests.certificates import self_signed
from tests.conversation import Conversation, request, response

NAME = "vc.example.test"
SESSION = "52a1b2c3-aaaa-bbbb-cccc-1234567890ab"
_SOAP = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv='
    '"http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>{}</soapenv:Body></soapenv:Envelope>'
)
_XML = "Content-Type: text/xml; charset=utf-8"


class TlsTalk:
    """Every flow carries the same bytes, as the legs of a proxy that does not open them do."""

    def __init__(
        self,
        directory: Path,
        *flows: Conversation,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        ciphers: str = "",
        name: str = NAME,
    ) -> None:
        self.flows = flows
        self.keys = directory / "keys.log"
        self.private_key = directory / "server.pem"
        client, server = (
            ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)
        )
        for context in (client, server):
            context.minimum_version = context.maximum_version = version
            if ciphers:
                context.set_ciphers(ciphers)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        client.keylog_filename = str(self.keys)
        if not self.private_key.exists():
            self_signed(self.private_key, NAME)
        server.load_cert_chain(self.private_key)
        self._to_server, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._client = client.wrap_bio(
            self._to_client, client_out := ssl.MemoryBIO(), server_hostname=name
        )
        self._server = server.wrap_bio(
            self._to_server, server_out := ssl.MemoryBIO(), server_side=True
        )
        self._sent = (client_out, server_out)
        while not all([self._shakes(self._client), self._shakes(self._server)]):
            pass

    def exchange(self, asked: bytes, answered: bytes) -> None:
        """One request and its response."""
        self._client.write(asked)
        self._carry()
        assert self._server.read(len(asked)) == asked
        self._server.write(answered)
        self._carry()
        self._client.read(len(answered))

    def say(self, content: bytes) -> None:
        self._client.write(content)
        self._carry()
        while self._server.pending() or self._to_server.pending:
            self._server.read(len(content))

    def answer(self, content: bytes) -> None:
        self._server.write(content)
        self._carry()
        while self._client.pending() or self._to_client.pending:
            self._client.read(len(content))

    def _shakes(self, end: ssl.SSLObject) -> bool:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._carry()
        return True

    def _carry(self) -> None:
        """What either end has sent goes onto the flows, and to the other."""
        client_out, server_out = self._sent
        if sent := client_out.read():
            self._to_server.write(sent)
            for flow in self.flows:
                flow.say(sent)
        if sent := server_out.read():
            self._to_client.write(sent)
            for flow in self.flows:
                flow.answer(sent)


def login(user: str, password: str) -> tuple[bytes, bytes]:
    """A vim25 login and its success."""
    asked = _SOAP.format(
        '<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this>'
        f"<userName>{user}</userName><password>{password}</password></Login>"
    )
    answered = _SOAP.format(
        f'<LoginResponse xmlns="urn:vim25"><returnval><key>{SESSION}</key>'
        f"<userName>{user}</userName><fullName>F</fullName></returnval></LoginResponse>"
    )
    cookie = f'Set-Cookie: vmware_soap_session="{SESSION}"; Path=/; HttpOnly; Secure;'
    return _posted(asked, ()), response(200, [_XML, cookie], answered.encode())


def destroy(vm: str) -> tuple[bytes, bytes]:
    """A call of the same session that destroys a machine."""
    asked = _SOAP.format(
        f'<Destroy_Task xmlns="urn:vim25"><_this type="VirtualMachine">{vm}</_this></Destroy_Task>'
    )
    answered = _SOAP.format(
        '<Destroy_TaskResponse xmlns="urn:vim25"><returnval type="Task">task-9</returnval>'
        "</Destroy_TaskResponse>"
    )
    cookie = f'Cookie: vmware_soap_session="{SESSION}"'
    return _posted(asked, (cookie,)), response(200, [_XML], answered.encode())


def _posted(body: str, headers: tuple[str, ...]) -> bytes:
    return request("POST", "/sdk", [_XML, 'SOAPAction: "urn:vim25/8.0"', *headers], body.encode())
