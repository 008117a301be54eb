"""Proxmox VE: tickets, API tokens, changes of guests, tasks."""

from typing import Any
from urllib.parse import quote

import pytest

from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    OperationClass,
    Outcome,
    SessionExpired,
    SessionSeen,
    Target,
    TaskChanged,
    TicketIssued,
    Transaction,
    TransactionFlag,
)
from decoders.proxmox import Proxmox
from tests.decoders.crafting import hasher, only, rest, rest_json

proxmox = Proxmox(hasher)
API = "/api2/json"
TICKET = "PVE:bob@pve:6740F0AA::c2lnbmF0dXJl+/="
COOKIE = f"Cookie: PVEAuthCookie={quote(TICKET, safe='')}\r\nCSRFPreventionToken: 6740:csrf"
KEY = "Authorization: PVEAPIToken=bob@pve!terraform=0f1e-s3cret"
FORM = "Content-Type: application/x-www-form-urlencoded"
UPID = "UPID:pve1:0000AAAA:0001BBBB:6740F0BB:qmstart:100:bob@pve:"


def decode(done: Transaction) -> list[Any]:
    assert proxmox.claims(done)
    return list(proxmox.transaction(done))


def change(
    method: str, path: str, form: str = "", answered: object = None, head: str = COOKIE
) -> list[Any]:
    done = rest_json(method, f"{API}{path}", None, {"data": answered}, head=f"{head}\r\n{FORM}")
    return decode(done._replace(request_body=form.encode()))


def login(form: str, answered: object, status: int = 200) -> list[Any]:
    done = rest_json("POST", f"{API}/access/ticket", None, answered, head=FORM, status=status)
    return decode(done._replace(request_body=form.encode()))


@pytest.mark.parametrize("form", ["username=bob%40pve", "username=bob&realm=pve"])
def test_login(form: str) -> None:
    data = {"username": "bob@pve", "ticket": TICKET, "CSRFPreventionToken": "6740:csrf"}
    message = only(login(f"{form}&password=s3cret", {"data": data}))
    assert isinstance(message, Login)
    assert (message.user, message.claimed) == ("bob@pve", "bob@pve")
    assert (message.method, message.outcome) == (LoginMethod.PASSWORD, Outcome.SUCCESS)
    assert message.new_tokens == (hasher(TICKET),)
    assert not {"s3cret", "csrf", "c2ln"} & set(repr(message).replace(":", " ").split())


def test_a_ticket_is_the_cookie_that_follows() -> None:
    seen = only(decode(rest("GET", f"{API}/nodes", head=COOKIE, flags=TransactionFlag.NEW_TOKEN)))
    assert isinstance(seen, SessionSeen)
    assert (seen.token, seen.user) == (hasher(TICKET), "bob@pve")


def test_login_refused() -> None:
    message = only(login("username=eve@pam&password=s3cret", {"data": None}, status=401))
    assert (message.outcome, message.fault, message.user, message.new_tokens) == (
        Outcome.FAILURE,
        "HTTP 401",
        "eve@pam",
        (),
    )


def test_a_second_factor_is_due() -> None:
    partial = {"username": "bob@pve", "ticket": "PVE:!tfa!x:1::y", "NeedTFA": 1}
    assert login("username=bob@pve&password=s3cret", {"data": partial}) == []


def test_a_ticket_is_renewed_by_itself() -> None:
    form = f"username=bob@pve&password={quote(TICKET, safe='')}"
    message = only(login(form, {"data": {"username": "bob@pve", "ticket": "PVE:bob@pve:2::x"}}))
    assert message.method is LoginMethod.TOKEN
    assert "c2lnbmF0" not in repr(message)


def test_logout() -> None:
    message = only(change("DELETE", "/access/ticket"))
    assert isinstance(message, Logout)
    assert message.token == hasher(TICKET)


def test_an_api_token_says_who_and_which() -> None:
    call = only(change("POST", "/nodes/pve1/qemu/100/status/start", answered=UPID, head=KEY))
    assert isinstance(call, Call)
    assert (call.user, call.task) == ("bob@pve!terraform", UPID)
    assert call.token == hasher("bob@pve!terraform=0f1e-s3cret")
    assert "s3cret" not in repr(call)


VM = "/nodes/pve1/qemu/100"
CHANGES = [
    ("POST", f"{VM}/status/start", "nodes.qemu.status.start", OperationClass.POWER),
    ("POST", f"{VM}/status/stop", "nodes.qemu.status.stop", OperationClass.POWER),
    ("POST", f"{VM}/status/reboot", "nodes.qemu.status.reboot", OperationClass.POWER),
    ("POST", "/nodes/pve1/qemu", "nodes.qemu.create", OperationClass.CREATE),
    ("POST", "/nodes/pve1/lxc", "nodes.lxc.create", OperationClass.CREATE),
    ("POST", f"{VM}/clone", "nodes.qemu.clone", OperationClass.CREATE),
    ("POST", f"{VM}/config", "nodes.qemu.config", OperationClass.UPDATE),
    ("PUT", f"{VM}/config", "nodes.qemu.config.update", OperationClass.UPDATE),
    ("DELETE", VM, "nodes.qemu.delete", OperationClass.DELETE),
    ("POST", f"{VM}/migrate", "nodes.qemu.migrate", OperationClass.UPDATE),
    ("POST", f"{VM}/snapshot", "nodes.qemu.snapshot", OperationClass.CREATE),
    ("POST", f"{VM}/snapshot/s1/rollback", "nodes.qemu.snapshot.rollback", OperationClass.UPDATE),
    ("DELETE", f"{VM}/snapshot/s1", "nodes.qemu.snapshot.delete", OperationClass.DELETE),
    ("PUT", f"{VM}/resize", "nodes.qemu.resize.update", OperationClass.DISK),
    ("POST", f"{VM}/vncproxy", "nodes.qemu.vncproxy", OperationClass.CONSOLE),
    ("POST", "/nodes/pve1/termproxy", "nodes.termproxy", OperationClass.CONSOLE),
    ("POST", f"{VM}/agent/exec", "nodes.qemu.agent.exec", OperationClass.GUEST),
    ("POST", f"{VM}/agent/set-user-password", "nodes.qemu.agent.set-user-password",
     OperationClass.GUEST),
    ("POST", "/nodes/pve1/stopall", "nodes.stopall", OperationClass.POWER),
    ("POST", "/nodes/pve1/status", "nodes.status.reboot", OperationClass.POWER),
    ("POST", "/nodes/pve1/storage/local/upload", "nodes.storage.upload", OperationClass.DISK),
    ("DELETE", "/nodes/pve1/storage/local/content/local%3Aiso%2Fx.iso",
     "nodes.storage.content.delete", OperationClass.DELETE),
    ("POST", "/access/users", "access.users.create", OperationClass.CREATE),
    ("POST", "/access/users/bob@pve/token/ci", "access.users.token.create", OperationClass.CREATE),
    ("PUT", "/access/acl", "access.acl.update", OperationClass.UPDATE),
    ("PUT", "/access/password", "access.password.update", OperationClass.UPDATE),
    ("POST", "/nodes/pve1/vzdump", "nodes.vzdump.create", OperationClass.CREATE),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "operation", "kind"), CHANGES)
def test_changes(method: str, path: str, operation: str, kind: OperationClass) -> None:
    call = only(change(method, path, "command=reboot&password=s3cret", None))
    assert (call.operation, call.operation_class) == (operation, kind)
    assert (call.user, call.token) == ("bob@pve", hasher(TICKET))
    assert "s3cret" not in repr(call)


def test_objects() -> None:
    call = only(change("POST", f"{VM}/clone", "newid=101&name=web-2", UPID))
    assert call.target == Target("VirtualMachine", "100")
    assert call.related == (Target("VirtualMachine", "101", "web-2"),)
    call = only(change("POST", "/nodes/pve1/lxc", "vmid=200&hostname=db", UPID))
    assert call.target == Target("Node", "pve1")
    assert call.related == (Target("VirtualMachine", "200", "db"),)


def test_a_console_is_a_ticket() -> None:
    answered = {"ticket": "PVEVNC:6740::c0nsole", "port": 5900}
    call, ticket = change("POST", f"{VM}/vncproxy", "", answered)
    assert isinstance(call, Call) and isinstance(ticket, TicketIssued)
    assert ticket.ticket == hasher("PVEVNC:6740::c0nsole")
    assert "c0nsole" not in repr((call, ticket))


@pytest.mark.parametrize(
    ("status", "outcome", "fault"),
    [
        ("OK", Outcome.SUCCESS, ""),
        ("WARNINGS: 1", Outcome.SUCCESS, ""),
        ("VM 100 is locked", Outcome.FAILURE, "VM 100 is locked"),
    ],
)
def test_a_task_ends(status: str, outcome: Outcome, fault: str) -> None:
    path = f"{API}/nodes/pve1/tasks/{quote(UPID, safe='')}/status"
    answered = {"data": {"status": "stopped", "exitstatus": status}}
    task = only(decode(rest_json("GET", path, None, answered, head=COOKIE)))
    assert isinstance(task, TaskChanged)
    assert (task.task, task.outcome, task.fault) == (UPID, outcome, fault)


def test_extjs_says_in_the_body_that_it_failed() -> None:
    answered = {"success": 0, "status": 500, "message": "VM is locked (backup)\n", "data": None}
    target = f"/api2/extjs{VM}/status/start"
    call = only(decode(rest_json("POST", target, None, answered, head=COOKIE)))
    assert (call.outcome, call.fault) == (Outcome.FAILURE, "VM is locked (backup)")


def test_an_expired_ticket() -> None:
    done = rest("POST", f"{API}{VM}/status/start", head=COOKIE, status=401)
    assert isinstance(decode(done)[-1], SessionExpired)


@pytest.mark.parametrize(
    ("target", "claimed"),
    [(f"{API}/version", True), ("/api2/extjs/x", True), ("/api/vcenter/vm", False), ("/", False)],
)
def test_claims(target: str, claimed: bool) -> None:
    assert proxmox.claims(rest("POST", target)) is claimed
