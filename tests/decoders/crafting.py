"""Transactions as clients and servers write them: SOAP in four dialects, JSON, REST."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from decoders.message import Message, Transaction

VC = "urn:vim25"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
COOKIE = "52a1b2c3-aaaa-bbbb-cccc-1234567890ab"
Dialect = Callable[..., tuple[bytes, bytes]]  # -> (request head, request body)


def hasher(secret: str) -> str:
    return "b2s:" + hashlib.blake2s(secret.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def pyvmomi(
    operation: str,
    this: tuple[str, str],
    arguments: str = "",
    *,
    operation_id: str = "",
    header: str = "",
    cookie: str = COOKIE,
) -> tuple[bytes, bytes]:
    """versionId on each argument, SOAPAction in quotes, Set-Cookie sent back whole."""
    entries = (
        f'<operationID versionId="8.0.3.0">{operation_id}</operationID>' if operation_id else ""
    )
    soap_header = (
        f"<soapenv:Header>{entries}{header}</soapenv:Header>\n" if entries or header else ""
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<soapenv:Envelope xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/" '
        f'xmlns:soapenv="{SOAP}" xmlns:xsi="{XSI}" xmlns:xsd="http://www.w3.org/2001/XMLSchema">\n'
        f'{soap_header}<soapenv:Body><{operation} xmlns="{VC}">'
        f'<_this versionId="8.0.3.0" type="{this[0]}">{this[1]}</_this>{arguments}'
        f"</{operation}></soapenv:Body>\n</soapenv:Envelope>"
    )
    sent = f'vmware_soap_session="{cookie}"; Path=/; HttpOnly; Secure; ' if cookie else ""
    head = (
        f"Host: vc.lab\r\nCookie: {sent}\r\n"
        'SOAPAction: "urn:vim25/8.0.3.0"\r\nContent-Type: text/xml; charset=UTF-8\r\n'
        "User-Agent: pyvmomi 9.1.1.0 OSS Python/3.11.7 (Linux; 6.1; x86_64)"
    )
    return head.encode(), body.encode()


def govc(
    operation: str,
    this: tuple[str, str],
    arguments: str = "",
    *,
    operation_id: str = "",
    header: str = "",
    cookie: str = COOKIE,
) -> tuple[bytes, bytes]:
    """The envelope's namespace is the default one; instance attributes under a made-up prefix."""
    entries = f"<operationID>{operation_id}</operationID>" if operation_id else ""
    soap_header = f'<Header xmlns="{SOAP}">{entries}{header}</Header>' if entries or header else ""
    arguments = arguments.replace(
        "xsi:type", f'xmlns:_XMLSchema-instance="{XSI}" _XMLSchema-instance:type'
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Envelope xmlns="{SOAP}">{soap_header}<Body><{operation} xmlns="{VC}">'
        f'<_this type="{this[0]}">{this[1]}</_this>{arguments}</{operation}></Body></Envelope>\n'
    )
    sent = f'Cookie: vmware_soap_session="{cookie}"\r\n' if cookie else ""
    head = (
        f"Host: vc.lab\r\nUser-Agent: govc/0.37.1\r\n{sent}Soapaction: urn:vim25/8.0.3.0\r\n"
        'Content-Type: text/xml; charset="utf-8"\r\nTransfer-Encoding: chunked'
    )
    return head.encode(), body.encode()


def powercli(
    operation: str,
    this: tuple[str, str],
    arguments: str = "",
    *,
    operation_id: str = "",
    header: str = "",
    cookie: str = COOKIE,
) -> tuple[bytes, bytes]:
    """.NET: prefix soap, xsi:type on references too, several cookies, upper-case header names."""
    entries = f"<operationID>{operation_id}</operationID>" if operation_id else ""
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{SOAP}" '
        f'xmlns:xsi="{XSI}" xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soap:Header>{entries}'
        f'{header}</soap:Header><soap:Body><{operation} xmlns="{VC}">'
        f'<_this xsi:type="ManagedObjectReference" type="{this[0]}">{this[1]}</_this>{arguments}'
        f"</{operation}></soap:Body></soap:Envelope>"
    )
    sent = f"COOKIE: theme=dark; vmware_soap_session={cookie}; vmware_client=PowerCLI\r\n"
    head = (
        f"HOST: vc.lab\r\nUSER-AGENT: PowerCLI/13.2.1.22851661\r\n{sent if cookie else ''}"
        'SOAPACTION: "urn:vim25/8.0.2.0"\r\nContent-Type: text/xml; charset=utf-8'
    )
    return head.encode(), body.encode()


def vim_java(
    operation: str,
    this: tuple[str, str],
    arguments: str = "",
    *,
    operation_id: str = "",
    header: str = "",
    cookie: str = COOKIE,
) -> tuple[bytes, bytes]:
    """The vSphere Client's backend: a prefix of its own for vim25, white space between elements."""
    entries = f"\n  <vim25:operationID>{operation_id}</vim25:operationID>" if operation_id else ""
    body = (
        f'<env:Envelope xmlns:env="{SOAP}" xmlns:xsi="{XSI}" xmlns:vim25="{VC}">\n'
        f" <env:Header>{entries}{header}\n </env:Header>\n <env:Body>\n  <vim25:{operation}>\n"
        f'   <vim25:_this vim25:type="{this[0]}">{this[1]}</vim25:_this>\n   {arguments}\n'
        f"  </vim25:{operation}>\n </env:Body>\n</env:Envelope>\n"
    )
    sent = f'Cookie: vmware_soap_session="{cookie}"\r\n' if cookie else ""
    head = (
        f"Host: vc.lab:443\r\nUser-Agent: VMware vim-java 1.0\r\n{sent}"
        "SOAPAction: urn:vim25/8.0.3.0\r\nContent-Type: text/xml; charset=utf-8"
    )
    return head.encode(), body.encode()


DIALECTS: dict[str, Dialect] = {
    "pyvmomi": pyvmomi,
    "govc": govc,
    "powercli": powercli,
    "vim_java": vim_java,
}


def answer(operation: str, returned: str = "") -> bytes:
    """A vCenter's response body; `returned` is whole `returnval` elements."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope xmlns:soapenv="{SOAP}" '
        f'xmlns:xsi="{XSI}">\n<soapenv:Body>\n<{operation}Response xmlns="{VC}">{returned}'
        f"</{operation}Response>\n</soapenv:Body>\n</soapenv:Envelope>"
    ).encode()


def fault(name: str, inner: str = "", *, stated: bool = True) -> bytes:
    """A SOAP fault; with `stated` its xsi:type says the name too."""
    kind = f' xsi:type="{name}"' if stated else ""
    return (
        f'<soapenv:Envelope xmlns:soapenv="{SOAP}" xmlns:xsi="{XSI}"><soapenv:Body>'
        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>no</faultstring>"
        f'<detail><{name}Fault xmlns="{VC}"{kind}>{inner}</{name}Fault></detail>'
        "</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
    ).encode()


def transaction(
    request: tuple[bytes, bytes],
    response_body: bytes = b"",
    *,
    status: int = 200,
    response_head: str = "Content-Type: text/xml; charset=utf-8",
    method: str = "POST",
    target: str = "/sdk",
    operation: str = "",
    this: tuple[str, str] = ("", ""),
    operation_id: str = "",
    flags: int = 0,
) -> Transaction:
    """What the core scans (`operation`, `this`, `operation_id`) stays empty unless said."""
    return Transaction(
        1_000,
        2_000 if status else 0,
        3_000,
        method,
        target,
        status,
        request[0],
        response_head.encode("latin-1"),
        request[1],
        response_body,
        operation,
        *this,
        operation_id,
        flags,
    )


def rest(
    method: str,
    target: str,
    *,
    head: str = "",
    body: bytes = b"",
    status: int = 200,
    response_head: str = "",
    response_body: bytes = b"",
    flags: int = 0,
) -> Transaction:
    return transaction(
        (head.encode("latin-1"), body),
        response_body,
        status=status,
        response_head=response_head,
        method=method,
        target=target,
        flags=flags,
    )


def rest_json(method: str, target: str, asked: Any, answered: Any, **others: Any) -> Transaction:
    return rest(
        method,
        target,
        body=json.dumps(asked).encode(),
        response_body=json.dumps(answered).encode(),
        **others,
    )


def only(messages: list[Message]) -> Any:
    assert len(messages) == 1, messages
    return messages[0]
