"""Programs that act for people: the program is who calls (user_agent), never who acts (user)."""

import base64
import json
from typing import NamedTuple

import pytest

from decoders.message import Call, Login, Message, Transaction
from decoders.registry import transaction_decoders
from tests.decoders.crafting import SOAP, answer, hasher, rest

DECODERS = transaction_decoders(hasher)
PROGRAMS = [
    "pyvmomi 9.1.1.0 OSS Python/3.11.7 (Linux; 6.1; x86_64)",
    "govc/0.37.1",
    "PowerCLI/13.2.1.22851661",
    "terraform-provider-vsphere govmomi/0.46.0 (go1.22;linux;amd64)",
    "terraform-provider-vcd/3.14.0 (go-vcloud-director/2.26.0)",
    "ansible-httpget",
    "vsphere-mcp-server/0.3.1 (agent tool server; python-httpx/0.27.2)",
]
BASIC = "Authorization: Basic " + base64.b64encode(b"bob@lab:s3cret").decode()
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"


def soap(operation: str, this: str, arguments: str = "", path: str = "/sdk") -> Transaction:
    asked = (
        f'<e:Envelope xmlns:e="{SOAP}"><e:Body><{operation} xmlns="urn:vim25"><_this type="{this}">'
        f"x</_this>{arguments}</{operation}></e:Body></e:Envelope>"
    )
    session = "<returnval><key>k</key><userName>bob@lab</userName></returnval>"
    done = rest("POST", path, body=asked.encode(), response_body=answer(operation, session))
    return done._replace(operation=operation, this_type=this, this_id="x")


class Api(NamedTuple):
    """A login, and a change that carries its own user or the login's token."""

    login: Transaction
    change: Transaction


def keystone() -> Transaction:
    user = {"name": "bob@lab", "domain": {"name": "Default"}, "password": "s3cret"}
    asked = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    answered = {"token": {"user": {"name": "bob@lab", "domain": {"name": "Default"}}}}
    return rest(
        "POST", "/v3/auth/tokens", head=JSON, body=json.dumps(asked).encode(), status=201,
        response_head=f"{JSON}\r\nX-Subject-Token: t", response_body=json.dumps(answered).encode(),
    )  # fmt: skip


APIS = {
    "vim25": Api(
        soap("Login", "SessionManager", "<userName>bob@lab</userName><password>s3cret</password>"),
        soap("Destroy_Task", "VirtualMachine"),
    ),
    "vim25 in JSON": Api(
        rest(
            "POST",
            "/sdk/vim25/8.0.3.0/SessionManager/SessionManager/Login",
            head=JSON,
            body=b'{"userName":"bob@lab","password":"s3cret"}',
            response_head=f"{JSON}\r\nvmware-api-session-id: 40c0",
            response_body=b'{"_typeName":"UserSession","key":"k","userName":"bob@lab"}',
        ),
        rest("POST", "/sdk/vim25/8.0.3.0/VirtualMachine/vm-1/Destroy_Task", head=JSON),
    ),
    "vsphere-rest": Api(
        rest("POST", "/api/session", head=BASIC, response_head=JSON, response_body=b'"40c0"'),
        rest("DELETE", "/api/vcenter/vm/vm-1", head=BASIC, status=204),
    ),
    "vcloud": Api(
        rest("POST", "/api/sessions", head=BASIC, response_head="x-vcloud-authorization: t"),
        rest("DELETE", "/cloudapi/1.0.0/roles/urn:vcloud:role:1", head="Authorization: Bearer t"),
    ),
    "openstack": Api(keystone(), rest("DELETE", "/v3/users/1234abcd", head="X-Auth-Token: t")),
    "proxmox": Api(
        rest(
            "POST",
            "/api2/json/access/ticket",
            head=FORM,
            body=b"username=bob@lab&password=s3cret",
            response_head=JSON,
            response_body=b'{"data":{"ticket":"t","username":"bob@lab"}}',
        ),
        rest("POST", "/api2/json/nodes/pve/qemu/100/status/stop", head="Cookie: PVEAuthCookie=t"),
    ),
}


def said(done: Transaction, program: str) -> list[Message]:
    head = b"\r\n".join((done.request_head, b"User-Agent: " + program.encode())).lstrip(b"\r\n")
    done = done._replace(request_head=head)
    decoder = next(each for each in DECODERS if each.claims(done))
    messages = decoder.transaction(done)
    assert "s3cret" not in repr(messages)
    return messages


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", APIS)
def test_the_program_is_told_beside_the_user(name: str, program: str) -> None:
    api = APIS[name]
    [login] = [each for each in said(api.login, program) if isinstance(each, Login)]
    assert login.user_agent == program
    assert login.user.startswith("bob@lab") and login.claimed.startswith("bob@lab")
    [call] = [each for each in said(api.change, program) if isinstance(each, Call)]
    assert call.user_agent == program
    assert call.user in ("", "bob@lab")
