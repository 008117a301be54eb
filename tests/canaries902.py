"""Dialogs of TCP 902 in clear whose every secret is a canary, also where they are broken."""

import uuid

from tests.canaries import Canaries
from tests.conversation import Conversation

BANNER = "220 VMware Authentication Daemon Version 1.0, ServerDaemonProtocol:SOAP, , ,"
CONNECTED = "200 Connect ha-nfc"
# One flow each: lines that begin with a digit are the server's. {S} becomes a canary, {T} a ticket.
DIALOGS = [
    [BANNER, "USER root", "331 Password required for root.", "PASS {S}", "530 Login incorrect."],
    [BANNER, "USER root", "331 ?", "PASS {S}", "230 User root logged in."],
    [BANNER, "USER root", "PASS {S}", "331 ?", "230 User root logged in.", "PROXY ha-nfc"],
    [BANNER, "user root", "331 ?", "  pass\t{S}", "530 Login incorrect for {S}"],
    [BANNER, "USER root", "331 ?", "PASS {S} {S}", "230 ?", "PASS {S}", "530 ?"],
    [BANNER, "USER root", "331 ?", "XPAS {S}", "530 ?", "AUTH PLAIN {S}", "530 {S}"],
    [BANNER, "PASS {S}", "530 Please login with USER and PASS.", "PASS"],
    [BANNER, "USER root", "331 ?", "PASS " + "x" * 2000 + "{S}", "530 ?"],
    [BANNER, "SESSION {S}", "THUMBPRINT {S}", "200 AA:BB", "PROXY ha-nfc", CONNECTED],
    [BANNER, "SESSION {T}", "PROXY ha-nfc", "530 Login incorrect for {T}"],
    [BANNER, "USER {T}", "331 Password required for {T}.", "PASS {T}", "230 User {T} logged in."],
    [BANNER, "USER {T}", "331 Password required for {T}.", "PASS {S}", "530 {T}"],
    ["USER root", "331 ?", "PASS {S}", "230 ?"],  # its beginning was missed
    [BANNER, "SESSION {T}", "SESSION {T}", "CONNECT /vmfs/a.vmx mks", "200 Connect /vmfs/a.vmx"],
]


def dialogs(canaries: Canaries, client: str, server: str) -> list[Conversation]:
    return [
        _dialog(canaries, said, Conversation(client, 30_000 + number, server, 902))
        for number, said in enumerate(DIALOGS)
    ]


def _dialog(canaries: Canaries, said: list[str], talk: Conversation) -> Conversation:
    ticket = str(uuid.uuid5(uuid.NAMESPACE_OID, str(talk.client_port)))
    if any("{T}" in each for each in said):
        canaries.secrets[ticket] = "ticket of authd"
    for each in said:
        text = canaries.fill(each.replace("{T}", ticket), "dialog of authd")
        add = talk.answer if text[0].isdigit() else talk.say
        add(text.encode() + b"\r\n")
    return talk
