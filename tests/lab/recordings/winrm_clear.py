"""Real: pywinrm, whose NTLM seals the bodies (requests_ntlm, pyspnego); the server's NTLM is
pyspnego's too, so what is sealed is really sealed. What it answers is an imitation. At 5987
Basic credentials and bodies in clear, as they are inside TLS."""

import base64
import importlib
import os
import re
from typing import Any

from tests.lab.record import Recorder
from tests.lab.recordings.imitation import Answer, Asked

PORT, BASIC_PORT = 5985, 5987
SOAP = {"Content-Type": "application/soap+xml;charset=UTF-8"}
SHELL = "2E1A0F00-1111-4222-8333-444455556666"
SEALED = "application/HTTP-SPNEGO-session-encrypted"
ANSWER = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" '
    'xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"><s:Header>'
    "<a:RelatesTo>{relates}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"
)


def serve(recorder: Recorder) -> None:
    accounts = recorder.directory / "accounts"
    accounts.write_text("LAB:bob:B0b!hyperv\n")
    os.environ["NTLM_USER_FILE"] = str(accounts)
    recorder.imitate("winrm_clear", PORT)
    recorder.imitate("winrm_clear", BASIC_PORT)


def ask(recorder: Recorder) -> None:
    recorder.ask("winrm_client.py")


def answer(asked: Asked) -> Answer:
    scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
    if scheme == "Basic":
        if base64.b64decode(token) != b"bob:B0b!hyperv":
            return Answer(b"", 401, {"WWW-Authenticate": 'Basic realm="WSMAN"'})
        return Answer(said(asked.body.decode()), headers=SOAP)
    if scheme:
        return negotiate(asked, scheme, token)
    context = asked.connection.get("context")
    if context is None or not context.complete:
        return Answer(b"", 401, {"WWW-Authenticate": "Negotiate"})
    return sealed(asked, context)


def negotiate(asked: Asked, scheme: str, token: str) -> Answer:
    spnego = importlib.import_module("spnego")

    is_first = asked.connection.get("context") is None
    if is_first:
        asked.connection["context"] = spnego.server(protocol="ntlm")
    context = asked.connection["context"]
    try:
        reply = context.step(base64.b64decode(token))
    except spnego.exceptions.SpnegoError:
        return Answer(b"", 401, {"WWW-Authenticate": scheme})
    if not context.complete:
        challenge = base64.b64encode(reply).decode()
        return Answer(b"", 401, {"WWW-Authenticate": f"{scheme} {challenge}"})
    return sealed(asked, context) if asked.body else Answer(b"")


def sealed(asked: Asked, context: Any) -> Answer:
    """[MS-WSMV] section 2.2.9.1.1: a length, a signature, then the ciphertext."""
    part = asked.body.split(b"application/octet-stream\r\n", 1)[1]
    part = part.rpartition(b"--Encrypted Boundary")[0]
    size = int.from_bytes(part[:4], "little")
    plain = context.unwrap_winrm(part[4 : 4 + size], part[4 + size :])
    content = said(plain.decode())
    header, data, _ = context.wrap_winrm(content)
    body = (
        b"--Encrypted Boundary\r\n\tContent-Type: " + SEALED.encode() + b"\r\n\tOriginalContent: "
        b"type=application/soap+xml;charset=UTF-8;Length=" + str(len(content)).encode() + b"\r\n"
        b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
        + len(header).to_bytes(4, "little") + header + data + b"--Encrypted Boundary--\r\n"
    )  # fmt: skip
    kind = f'multipart/encrypted;protocol="{SEALED}";boundary="Encrypted Boundary"'
    return Answer(body, headers={"Content-Type": kind})


def said(envelope: str) -> bytes:
    found = re.search(r"MessageID>([^<]*)<", envelope)
    bodies = {
        "transfer/Create": "<a:ReferenceParameters><w:SelectorSet>"
        f'<w:Selector Name="ShellId">{SHELL}</w:Selector></w:SelectorSet></a:ReferenceParameters>',
        "shell/Command": "<rsp:CommandResponse><rsp:CommandId>C1</rsp:CommandId>"
        "</rsp:CommandResponse>",
        "shell/Receive": '<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="C1">aGk='
        '</rsp:Stream><rsp:CommandState CommandId="C1" State="http://schemas.microsoft.com/wbem/'
        'wsman/1/windows/shell/CommandState/Done"><rsp:ExitCode>0</rsp:ExitCode>'
        "</rsp:CommandState></rsp:ReceiveResponse>",
    }
    body = next((text for action, text in bodies.items() if action in envelope), "")
    return ANSWER.format(relates=found[1] if found else "", body=body).encode()
