"""File, disk and console access over HTTP, and how it joins the call that issued its ticket."""

import base64

import pytest

from decoders.message import Call, OperationClass, Outcome, Target, TicketIssued, Transaction
from decoders.vim25 import Vim25
from tests.decoders.crafting import answer, hasher, only, pyvmomi, rest, transaction

vim25 = Vim25(hasher)


def _call(done: Transaction) -> Call:
    assert vim25.claims(done)
    call = only(vim25.transaction(done))
    assert isinstance(call, Call)
    return call


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("PUT", OperationClass.CREATE),
        ("GET", OperationClass.DISK),
        ("DELETE", OperationClass.DELETE),
    ],
)
def test_datastore_file(method: str, kind: OperationClass) -> None:
    target = "/folder/iso%20s/x.iso?dcPath=DC0&dsName=ds%201"
    head = 'Cookie: vmware_soap_session="52c"; vmware_cgi_ticket=52-generic'
    call = _call(rest(method, target, head=head, status=201))
    assert (call.operation, call.operation_class) == (f"{method} /folder", kind)
    assert call.related == (Target("DatastoreFile", name="[ds 1] iso s/x.iso"),)
    assert (call.token, call.ticket) == (hasher("52c"), hasher("52-generic"))


def test_basic_credentials_of_a_host() -> None:
    head = "Authorization: Basic " + base64.b64encode(b"root:s3cret").decode()
    call = _call(rest("PUT", "/folder/a.vmdk?dsName=d", head=head, status=401))
    assert (call.user, call.outcome, call.fault) == ("root", Outcome.FAILURE, "HTTP 401")
    assert "s3cret" not in repr(call)


def test_guest_file() -> None:
    call = _call(rest("PUT", "/guestFile?id=9&token=52tok"))
    assert (call.operation_class, call.ticket) == (OperationClass.GUEST, hasher("52tok"))
    assert "52tok" not in repr(call)


def test_console() -> None:
    call = _call(rest("GET", "/ticket/52t1cket", head="Upgrade: websocket", status=101))
    assert (call.operation, call.operation_class) == ("GET /ticket", OperationClass.CONSOLE)
    assert (call.ticket, call.outcome) == (hasher("52t1cket"), Outcome.SUCCESS)
    assert "52t1cket" not in repr(call)


def test_lease_disk_joins_the_lease() -> None:
    read = pyvmomi("Fetch", ("HttpNfcLease", "session[52k]52l"), "<prop>info</prop>")
    returned = (
        '<returnval xsi:type="HttpNfcLeaseInfo"><lease type="HttpNfcLease">session[52k]52l</lease>'
        '<entity type="VirtualMachine">vm-42</entity>'
        "<deviceUrl><key>a</key><url>https://esx1/nfc/52-nfc/disk-0.vmdk</url></deviceUrl>"
        "<deviceUrl><key>b</key><url>https://esx1/nfc/52-nfc/disk-1.vmdk</url></deviceUrl>"
        "<deviceUrl><key>c</key><url>https://[broken</url></deviceUrl></returnval>"
    )
    issued = only(vim25.transaction(transaction(read, answer("Fetch", returned))))
    assert isinstance(issued, TicketIssued)
    assert (issued.kind, issued.target.id) == ("nfc", "vm-42")
    assert issued.lease == "session[]52l"  # as the call that asked for it was told
    call = _call(rest("GET", "/nfc/52-nfc/disk-0.vmdk"))
    assert call.ticket == issued.ticket == hasher("52-nfc")
    assert (call.operation_class, call.related) == (
        OperationClass.DISK,
        (Target("VirtualDisk", name="disk-0.vmdk"),),
    )


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/folder/"), ("GET", "/folder"), ("HEAD", "/folder/a"), ("GET", "/ui/folder/a")],
)
def test_listings_and_others_are_no_access(method: str, target: str) -> None:
    assert not vim25.claims(rest(method, target))
