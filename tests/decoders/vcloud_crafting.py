"""Cloud Director transactions, with the names and ids that the tests share."""

import base64

from decoders.message import (
    Message,
    Transaction,
)
from decoders.vcloud import Vcloud
from tests.decoders.crafting import hasher, rest

vcloud = Vcloud(hasher)
NS = 'xmlns="http://www.vmware.com/vcloud/v1.5"'
APP = "d2845ef4-74d3-414f-8b47-8616f128412e"
MACHINE = "2e209184-7afa-4eb9-bfb0-4d5e1c99e1ad"
VDC = "8f0b1c2d-0000-4000-8000-0000000000aa"
TASK = "664a067a-c4f5-49cd-a16d-e263c5db7db3"
HREF = "https://vcd.lab/api"
HEAD = (
    "Accept: application/*+xml;version=38.1\r\nUser-Agent: vcd-cli/24.1\r\n"
    "x-vcloud-authorization: t0ken\r\nX-VMWARE-VCLOUD-CLIENT-REQUEST-ID: bob-run-7"
)
DONE_HEAD = (
    "X-VMWARE-VCLOUD-REQUEST-ID: bob-run-7-1f\r\nContent-Type: application/vnd.vmware.vcloud.{}"
)


def basic(pair: str) -> str:
    return "Authorization: Basic " + base64.b64encode(pair.encode()).decode()


def decode(done: Transaction) -> list[Message]:
    assert vcloud.claims(done)
    return vcloud.transaction(done)


def call_xml(
    method: str, path: str, kind: str = "", body: str = "", asked: str = "", status: int = 200
) -> list[Message]:
    return decode(
        rest(
            method,
            path,
            head=HEAD,
            body=asked.encode(),
            status=status,
            response_head=DONE_HEAD.format(f"{kind}+xml;version=38.1"),
            response_body=f'<?xml version="1.0"?>\n{body}'.encode() if body else b"",
        )
    )
