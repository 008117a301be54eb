"""A capture whose every secret is a canary: one flow per way a secret travels in clear HTTP.

The texts are templates: each `{S}` becomes a canary of its own. Names are none: they are recorded.
"""

import base64
import gzip
import re
from dataclasses import dataclass, field

from tests.conversation import Conversation, one_after_another, request, response
from tests.impair import Packet

SERVER = "10.92.0.1"
USER = "alice@example.test"
_XML = ["Content-Type: text/xml; charset=utf-8"]
_JSON = ["Content-Type: application/json"]


@dataclass(slots=True)
class Canaries:
    """Numbers every canary and remembers what it stood for: value -> kind."""

    secrets: dict[str, str] = field(default_factory=dict)

    def fill(self, template: str, what: str) -> str:
        return re.sub(r"\{S\}", lambda _: self.new(what), template)

    def new(self, what: str) -> str:
        value = f"cAnaRy{len(self.secrets):04}{hash_letters(len(self.secrets))}"
        self.secrets[value] = what
        return value


def hash_letters(number: int) -> str:
    """Letters that look random, so that no canary is part of another one's encoding."""
    letters, state = "", number * 2654435761 % (1 << 32) + 12345
    for _ in range(12):
        state = (state * 1103515245 + 12345) % (1 << 31)
        letters += "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"[state >> 16 & 0x1F]
    return letters


_SESSION = (
    "<returnval><key>{S}</key><userName>"
    + USER
    + "</userName><fullName>Alice</fullName></returnval>"
)
_ASSERTION = (
    '<saml2:Assertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a1" Version="2.0">'
    '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignatureValue>{S}</ds:SignatureValue>'
    "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{S}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    f"</ds:Signature><saml2:Subject><saml2:NameID>{USER}</saml2:NameID></saml2:Subject></saml2:Assertion>"
)
_AUTH = (
    '<auth xsi:type="NamePasswordAuthentication"><interactiveSession>false</interactiveSession>'
    "<username>guest</username><password>{S}</password></auth>"
)
_VM = '<_this type="VirtualMachine">vm-7</_this>'
_SM = '<_this type="SessionManager">SessionManager</_this>'
_GUEST = '<vm type="VirtualMachine">vm-7</vm>'
_TASK = '<returnval type="Task">task-9</returnval>'

# operation, parameters, result; a result of "" is a fault
SOAP: list[tuple[str, str, str]] = [
    ("Login", _SM + f"<userName>{USER}</userName><password>{{S}}</password>", _SESSION),
    ("Login", _SM + f"<userName>{USER}</userName><password>{{S}}</password>", ""),
    ("Login", _SM + f"<userName>{USER}</userName><password><![CDATA[{{S}}]]></password>", _SESSION),
    ("Login", _SM + f"<userName>{USER}</userName><password>&lt;{{S}}&amp;</password>", ""),
    ("LoginBySSPI", _SM + "<base64Token>{S}</base64Token>", _SESSION),
    ("LoginBySSPI", _SM + "<base64Token>{S}</base64Token>", ""),
    ("LoginByToken", _SM, _SESSION),
    ("LoginExtensionByCertificate", _SM + "<extensionKey>com.example</extensionKey>", _SESSION),
    ("LoginExtensionBySubjectName", _SM + "<extensionKey>com.example</extensionKey>", _SESSION),
    ("ImpersonateUser", _SM + "<userName>bob</userName>", _SESSION),
    ("AcquireCloneTicket", _SM, "<returnval>{S}</returnval>"),
    ("CloneSession", _SM + "<cloneTicket>{S}</cloneTicket>", _SESSION),
    ("AcquireLocalTicket", _SM + "<userName>root</userName>", "<returnval><userName>root</userName>"
     "<passwordFilePath>/{S}</passwordFilePath></returnval>"),
    ("AcquireGenericServiceTicket", _SM + '<spec xsi:type="SessionManagerHttpServiceRequestSpec">'
     "<method>httpGet</method><url>https://esx/folder/x</url></spec>",
     "<returnval><id>{S}</id><hostName>esx</hostName></returnval>"),
    ("TerminateSession", _SM + "<sessionId>{S}</sessionId>", " "),
    ("SessionIsActive", _SM + f"<sessionID>{{S}}</sessionID><userName>{USER}</userName>",
     "<returnval>true</returnval>"),
    ("AcquireTicket", _VM + "<ticketType>webmks</ticketType>", "<returnval><ticket>{S}</ticket><cfgFile>"
     "/vmfs/x.vmx</cfgFile><host>esx</host><port>443</port><url>wss://esx:443/ticket/{S}</url></returnval>"),
    ("AcquireMksTicket", _VM, "<returnval><ticket>{S}</ticket><cfgFile>/x.vmx</cfgFile></returnval>"),
    ("StartProgramInGuest", _GUEST + _AUTH + "<spec><programPath>/bin/sh</programPath><arguments>"
     "</arguments></spec>", "<returnval>4711</returnval>"),
    ("StartProgramInGuest", _GUEST + _AUTH + "<spec><programPath>/bin/sh</programPath></spec>", ""),
    ("ValidateCredentialsInGuest", _GUEST + '<auth xsi:type="SAMLTokenAuthentication"><interactiveSession>'
     "false</interactiveSession><token>{S}</token><username>guest</username></auth>", " "),
    ("DeleteFileInGuest", _GUEST + '<auth xsi:type="TicketedSessionAuthentication"><interactiveSession>'
     "false</interactiveSession><ticket>{S}</ticket></auth><filePath>/tmp/x</filePath>", " "),
    ("MakeDirectoryInGuest", _GUEST + '<auth xsi:type="SSPIAuthentication"><interactiveSession>false'
     "</interactiveSession><sspiToken>{S}</sspiToken></auth><directoryPath>/x</directoryPath>", ""),
    ("AcquireCredentialsInGuest", _GUEST + _AUTH.replace("auth", "requestedAuth", 1),
     '<returnval xsi:type="TicketedSessionAuthentication"><interactiveSession>false</interactiveSession>'
     "<ticket>{S}</ticket></returnval>"),
    ("InitiateFileTransferFromGuest", _GUEST + _AUTH + "<guestFilePath>/etc/x</guestFilePath>",
     "<returnval><attributes/><size>1</size><url>https://esx/guestFile?id=1&amp;token={S}</url></returnval>"),
    ("InitiateFileTransferToGuest", _GUEST + _AUTH + "<guestFilePath>/etc/x</guestFilePath>",
     "<returnval>https://esx/guestFile?id=1&amp;token={S}</returnval>"),
    ("CreateUser", '<_this type="HostLocalAccountManager">am</_this><user><id>eve</id><password>{S}'
     "</password></user>", " "),
    ("UpdateUser", '<_this type="HostLocalAccountManager">am</_this><user><id>eve</id><password>{S}'
     "</password></user>", ""),
    ("ChangePassword", '<_this type="HostLocalAccountManager">am</_this><user>eve</user><oldPassword>{S}'
     "</oldPassword><newPassword>{S}</newPassword>", " "),
    ("AddHost_Task", '<_this type="ClusterComputeResource">domain-c8</_this><spec><hostName>esx</hostName>'
     "<userName>root</userName><password>{S}</password><vimAccountName>vpxuser</vimAccountName>"
     "<vimAccountPassword>{S}</vimAccountPassword><force>true</force></spec>", _TASK),
    ("ReconnectHost_Task", '<_this type="HostSystem">host-9</_this><cnxSpec><userName>root</userName>'
     "<password>{S}</password></cnxSpec>", _TASK),
    ("JoinDomain_Task", '<_this type="HostActiveDirectoryAuthentication">ad</_this><domainName>corp'
     "</domainName><userName>join</userName><password>{S}</password>", _TASK),
    ("CustomizeVM_Task", _VM + '<spec><identity xsi:type="CustomizationSysprep"><guiUnattended><password>'
     "<value>{S}</value><plainText>true</plainText></password></guiUnattended><identification>"
     "<domainAdmin>a</domainAdmin><domainAdminPassword><value>{S}</value><plainText>true</plainText>"
     "</domainAdminPassword></identification></identity></spec>", _TASK),
    ("ReconfigVM_Task", _VM + "<spec><extraConfig><key>RemoteDisplay.vnc.password</key>"
     '<value xsi:type="xsd:string">{S}</value></extraConfig></spec>', _TASK),
    ("HttpNfcLeaseGetManifest", '<_this type="HttpNfcLease">session[{S}]52</_this>', " "),
    ("PowerOffVM_Task", _VM, _TASK),
    ("Destroy_Task", _VM, ""),
    ("Logout", _SM, " "),
]  # fmt: skip

_BASIC = "Authorization: Basic {BASIC}"
# method, target, request headers, request body, status, response headers, response body
REST: list[tuple[str, str, list[str], str, int, list[str], str]] = [
    ("POST", "/api/session", [_BASIC], "", 201, ["vmware-api-session-id: {S}"], '"{S}"'),
    ("POST", "/api/session", [_BASIC], "", 401, [], '{"messages": []}'),
    ("POST", "/rest/com/vmware/cis/session", [_BASIC], "", 200, [], '{"value": "{S}"}'),
    ("GET", "/api/session", ["vmware-api-session-id: {S}"], "", 200, [], f'{{"user": "{USER}"}}'),
    ("POST", "/api/vcenter/vm/vm-7/power?action=stop", ["vmware-api-session-id: {S}"], "", 204, [], ""),
    ("DELETE", "/api/vcenter/vm/vm-7?token={S}", ["Cookie: vmware-api-session-id={S}"], "", 204, [], ""),
    ("POST", "/rest/x?~method=POST&password={S}", ["Authorization: Bearer {S}"], "", 200, [], "{}"),
    ("POST", "/api/sessions", [_BASIC, "Accept: application/*+xml;version=36.0"], "", 200,
     ["x-vcloud-authorization: {S}", "X-VMWARE-VCLOUD-ACCESS-TOKEN: {S}"],
     f'<Session xmlns="http://www.vmware.com/vcloud/v1.5" user="{USER}" org="acme"/>'),
    ("POST", "/cloudapi/1.0.0/sessions", [_BASIC], "", 200, ["X-VMWARE-VCLOUD-ACCESS-TOKEN: {S}"],
     f'{{"user": {{"name": "{USER}"}}, "org": {{"name": "acme"}}}}'),
    ("POST", "/cloudapi/1.0.0/sessions/provider", [_BASIC], "", 401, [], "{}"),
    ("POST", "/api/vApp/vapp-1/power/action/powerOff", ["x-vcloud-authorization: {S}"], "", 202, [],
     '<Task xmlns="http://www.vmware.com/vcloud/v1.5" href="https://vcd/api/task/1" status="running"/>'),
    ("DELETE", "/api/vApp/vapp-1", ["Authorization: Bearer {S}"], "", 403, [], "<Error/>"),
    ("POST", "/oauth/provider/token", [], "grant_type=refresh_token&refresh_token={S}", 200, [],
     '{"access_token": "{S}", "refresh_token": "{S}", "token_type": "Bearer"}'),
    ("POST", "/v3/auth/tokens", [], f'{{"auth": {{"identity": {{"methods": ["password"], "password": '
     f'{{"user": {{"name": "{USER}", "password": "{{S}}"}}}}}}}}}}', 201, ["X-Subject-Token: {S}"],
     f'{{"token": {{"user": {{"name": "{USER}"}}}}}}'),
    ("GET", "/v3/servers", ["X-Auth-Token: {S}"], "", 200, [], "{}"),
    ("POST", "/api/vcenter/vm", ["Authorization: SIGN token=\"{S}\", nonce=\"1:x\""], "{", 500, [], "{"),
    ("GET", "/folder/x.vmdk?dcPath=dc&dsName=ds&vmware_cgi_ticket={S}", ["Cookie: vmware_cgi_ticket={S}"],
     "", 200, [], ""),
    ("GET", "/guestFile?id=1&token={S}", [], "", 200, [], ""),
    ("GET", "/ticket/{S}", ["Upgrade: websocket", "Connection: Upgrade"], "", 101, [], ""),
    ("CONNECT", "sdkTunnel:8089", ["Proxy-Authorization: Basic {BASIC}"], "", 407, [], ""),
    ("CONNECT", "vc:80", ["Proxy-Authorization: Negotiate {S}"], "", 200, [], ""),
]  # fmt: skip


def envelope(body: str, header: str = "") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
        f"{header and f'<soapenv:Header>{header}</soapenv:Header>'}"
        f"<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    ).encode()


FAULT = (
    "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>refused</faultstring><detail>"
    '<InvalidLoginFault xmlns="urn:vim25" xsi:type="InvalidLogin"/></detail></soapenv:Fault>'
)
_SECURITY = (
    '<wsse:Security xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/'
    f'oasis-200401-wss-wssecurity-secext-1.0.xsd">{_ASSERTION}</wsse:Security>'
)


def soap_messages(canaries: Canaries, case: tuple[str, str, str]) -> tuple[bytes, bytes]:
    operation, parameters, result = case
    header = _SECURITY if operation == "LoginByToken" else "<vcSessionCookie>{S}</vcSessionCookie>"
    call = f'<{operation} xmlns="urn:vim25">{parameters}</{operation}>'
    answer = (
        f'<{operation}Response xmlns="urn:vim25">{result}</{operation}Response>'
        if result
        else FAULT
    )
    sent = envelope(canaries.fill(call, operation), canaries.fill(header, f"{operation} header"))
    received = envelope(canaries.fill(answer, f"{operation} response"))
    cookie = [canaries.fill('Cookie: vmware_soap_session="{S}"', f"{operation} cookie")]
    new = [
        canaries.fill(
            'Set-Cookie: vmware_soap_session="{S}"; Path=/; Secure', f"{operation} new cookie"
        )
    ]
    soap_action = ['SOAPAction: "urn:vim25/8.0.3.0"']
    return (
        request("POST", "/sdk", [*cookie, *soap_action, *_XML], sent),
        response(200 if result else 500, [*new, *_XML], received),
    )


def rest_messages(
    canaries: Canaries, case: tuple[str, str, list[str], str, int, list[str], str]
) -> tuple[bytes, bytes]:
    method, target, sent_headers, sent, status, headers, received = case
    what = f"{method} {target.partition('?')[0]}"

    def fill(text: str) -> str:
        if "{BASIC}" in text:
            account = f"{USER}:{canaries.new(f'{what} Basic password')}"
            basic = base64.b64encode(account.encode()).decode()
            canaries.secrets[basic] = f"{what} Basic credentials"
            text = text.replace("{BASIC}", basic)
        return canaries.fill(text, what)

    return (
        request(method, fill(target), [*map(fill, sent_headers), *_JSON], fill(sent).encode()),
        response(status, [*map(fill, headers), *_JSON], fill(received).encode()),
    )


def spoiled(canaries: Canaries) -> list[tuple[bytes, bytes]]:
    """Messages that break their protocol around a secret: the error must not quote it."""
    secret = canaries.new
    login = '<Login xmlns="urn:vim25"><userName>a</userName><password>{}</password></Login>'
    whole = envelope(login.format(secret("cut")))
    bodies = [
        whole[: whole.index(b"</password>")],
        envelope(login.format(secret("not closed")).replace("</password>", "")),
        envelope(login.format(secret("bad entity") + "&nosuch;")),
        envelope(login.format(secret("doctype"))).replace(
            b"?>", b"?><!DOCTYPE x [<!ENTITY y 'z'>]>", 1
        ),
        envelope(login.format(secret("bad UTF-8"))).replace(b"</password>", b"\xff\xfe</password>"),
        envelope(login.format(secret("UTF-16"))).decode().encode("utf-16"),
        envelope(
            login.format(secret("nested")).replace("<userName>", "<userName><userName>" * 500)
        ),
    ]
    pairs = [
        (request("POST", "/sdk", _XML, body), response(500, _XML, envelope(FAULT)))
        for body in bodies
    ]
    zipped = gzip.compress(envelope(login.format(secret("broken gzip"))), mtime=0)
    damaged = zipped[:30] + b"\x00\x00" + zipped[32:]
    pairs += [
        (request("POST", "/sdk", [*_XML, "Content-Encoding: gzip"], damaged), response(200)),
        (
            request("POST", "/api/session", [f"Authorization: Basic !{secret('bad base64')}"]),
            response(400),
        ),
        (request("POST", "/api/session", [f"Authorization: {secret('no scheme')}"]), response(400)),
        (
            request(
                "POST", "/cloudapi/1.0.0/sessions", [f"Authorization: Bearer {secret('late')}"]
            ),
            f"HTTP/1.1 2x0 {secret('bad status')}\r\nX-VMWARE-VCLOUD-ACCESS-TOKEN: {secret('bad')}\r\n\r\n".encode(),
        ),
    ]
    return pairs


def canary_capture() -> tuple[list[Packet], dict[str, str]]:
    """The packets, and every canary in them with its kind."""
    canaries = Canaries()
    pairs = [soap_messages(canaries, case) for case in SOAP]
    pairs += [rest_messages(canaries, case) for case in REST]
    pairs += spoiled(canaries)
    conversations = []
    for number, (sent, received) in enumerate(pairs):
        conversation = Conversation("10.92.0.2", 20000 + number, SERVER)
        conversation.say(sent)
        conversation.answer(received)
        conversations.append(conversation)
    return one_after_another(conversations), canaries.secrets
