"""Whatever the bytes, a decoder says messages or raises DecodeError, and nothing else."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from decoders.message import DecodeError, Message, Transaction
from decoders.registry import transaction_decoders
from decoders.vim25_guest import GUEST_OPERATIONS
from decoders.vim25_operations import LISTED
from decoders.vim25_sessions import SESSION_OPERATIONS
from tests.decoders.crafting import DIALECTS, answer, fault, hasher, transaction

DECODERS = transaction_decoders(hasher)
READS = [
    "Fetch",
    "RetrievePropertiesEx",
    "WaitForUpdatesEx",
    "RetrieveServiceContent",
    "ExecuteSoap",
]
OPERATIONS = sorted({*LISTED, *GUEST_OPERATIONS, *SESSION_OPERATIONS, *READS})
TARGETS = [
    "/sdk",
    "/sdk/vim25/8.0.3.0/VirtualMachine/vm-1/CloneVM_Task",
    "/sdk/vim25/8.0.3.0/Task/task-1/info",
    "/folder/a",
    "/guestFile?token=1",
    "/nfc/",
    "/nfc/a/b",
    "/ticket/x",
    "/api/session",
    "/api/sessions",
    "/api/vApp/vapp-1/power/action/powerOn",
    "/api/task/664a067a-c4f5-49cd-a16d-e263c5db7db3",
    "/api/query?type=vm",
    "/api/vcenter/vm/vm-1/power?action=stop",
    "/rest/com/vmware/cis/session?~action=get",
    "/rest/vcenter/vm",
    "/cloudapi/1.0.0/sessions",
    "/cloudapi/",
    "/oauth/x/token",
    "/v3/auth/tokens",
    "/v2.1/servers/0b1f2c3d-1111-4222-8333-444455556666/action",
    "/v2.1//servers/remote-consoles",
    "/csp/gateway/am/api/login",
    "/iaas/api/",
    "/identity/api/tokens/x",
    "/deployment/api/deployments/0b1f2c3d-1111-4222-8333-444455556666/requests",
    "/api2/json",
    "/api2/json/",
    "/api2/json/access/ticket",
    "/api2/json/nodes/n/qemu/100/vncproxy",
    "/api2/json/nodes/n/tasks/x/status",
    "/api2/extjs/tasks/",
    "/ovirt-engine/sso/oauth/token",
    "/ovirt-engine/sso/oauth/token-http-auth?username=x",
    "/ovirt-engine/api/vms/0b1f2c3d-1111-4222-8333-444455556666/ticket",
    "/ovirt-engine/api",
    "/api/nutanix/v3/users/me",
    "/api/nutanix/v3/vms",
    "/api/nutanix/v2.0/vms/1/set_power_state",
    "/api/vmm/v4.0/ahv/config/vms/1/$actions",
    "/api/nutanix/v3/tasks/1",
    "/PrismGateway/j_spring_security_check",
    "/PrismGateway/services/rest/v1/vms/1/power_op/on",
    "/wsman",
    "/",
    "/RPC2",
    "/jsonrpc",
    "/api/",
    "/rest",
    "*",
    "",
]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]
STATUSES = [0, 101, 200, 201, 202, 204, 301, 400, 401, 403, 500, 999]
_NAMES = """
    _this returnval objects obj propSet changeSet name val info state error fault auth token
    methodCall methodName params param struct array data member ErrorDescription Status Value
    method identity methods password id console url actionId ticket exitstatus success
    Envelope Header Action ResourceURI SelectorSet Selector
    username vm spec userName key about apiType UserSession Task VApp Vm Owner Children
"""
names = st.sampled_from(_NAMES.split())
texts = st.text(max_size=12) | st.sampled_from(
    ["success", "error", "vm-1", "session[", "session[a]b"]
)
HEADERS = [
    "Cookie: vmware_soap_session={}",
    "Authorization: Basic {}",
    "Authorization: SIGN token={}",
    "Authorization: Bearer {}",
    "x-vcloud-authorization: {}",
    "X-Auth-Token: {}",
    "X-Subject-Token: {}",
    "Authorization: PVEAPIToken={}",
    "Authorization: Negotiate {}",
    "Cookie: PVEAuthCookie={}",
    "Content-Type: application/x-www-form-urlencoded",
    "WWW-Authenticate: {}",
    "Set-Cookie: {}",
    "Content-Type: {}",
    "Forwarded: for={}",
    " {}",
]


def _decode(done: Transaction) -> None:
    for decoder in DECODERS:
        if decoder.claims(done):
            try:
                messages = decoder.transaction(done)
            except DecodeError:
                return
            assert all(isinstance(message, Message) for message in messages)
            hash(tuple(messages))


heads = st.lists(
    st.builds(
        lambda line, text: line.format(text).encode("latin-1", "replace"),
        st.sampled_from(HEADERS),
        texts,
    )
    | st.binary(max_size=40),
    max_size=4,
).map(b"\r\n".join)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


trees = st.recursive(
    texts.map(_escape),
    lambda inner: st.lists(
        st.builds(
            lambda name, kind, text: f"<{name}{kind}>{text}</{name}>",
            names,
            st.sampled_from(["", ' type="Task"', ' xsi:type="TaskInfo"', ' status="success"']),
            inner,
        ),
        max_size=4,
    ).map("".join),
    max_leaves=12,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            names | st.sampled_from(["_typeName", "_value", "type", "value", "status"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@st.composite
def transactions(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> Transaction:
    return transaction(
        (draw(heads), draw(bodies)),
        draw(bodies),
        status=draw(st.sampled_from(STATUSES)),
        response_head=draw(heads).decode("latin-1"),
        method=draw(st.sampled_from(METHODS)),
        target=draw(st.sampled_from(TARGETS)),
        operation=draw(st.sampled_from(["", *OPERATIONS]) | st.text(max_size=8)),
        this=(draw(texts), draw(texts)),
        flags=draw(st.integers(0, 255)),
    )


@settings(max_examples=150, deadline=None)
@given(transactions(st.binary(max_size=200)))
def test_random_bytes(done: Transaction) -> None:
    _decode(done)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_trees_in_envelopes(data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(OPERATIONS))
    dialect = DIALECTS[data.draw(st.sampled_from(sorted(DIALECTS)))]
    head, body = dialect(operation, (data.draw(names), "vm-1"), data.draw(trees))
    response = data.draw(
        st.sampled_from([answer(operation, data.draw(trees)), fault(operation, data.draw(trees))])
    )
    done = transaction(
        (head, body[: data.draw(st.integers(0, len(body)))]),
        response[: data.draw(st.integers(0, len(response)))],
        status=data.draw(st.sampled_from(STATUSES)),
        operation=operation,
    )
    _decode(done)


@settings(max_examples=150, deadline=None)
@given(transactions(trees.map(lambda tree: f"<Task>{tree}</Task>".encode("utf-8", "replace"))))
def test_random_xml(done: Transaction) -> None:
    _decode(done)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_json(data: st.DataObject) -> None:
    bodies = json_values.map(lambda value: json.dumps(value).encode())
    _decode(data.draw(transactions(bodies)))
