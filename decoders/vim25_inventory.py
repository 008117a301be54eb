"""Names and UUIDs of managed objects in property reads, what holds them, and what a server says of
itself."""

from collections.abc import Iterator

from decoders.element import Element
from decoders.message import Message, ObjectSeen, ServerSeen, Target
from decoders.soap import SoapTransaction
from decoders.vim25_objects import Objects, Properties, is_moref, moref

_SERVICES = {"VirtualCenter": "VC", "HostAgent": "ESX"}
# Where each fact stands, as (property path, path below it); the first that says something counts.
_Places = tuple[tuple[str, tuple[str, ...]], ...]
_NAME: _Places = (
    ("name", ()),
    ("config.name", ()),
    ("summary.config.name", ()),
    ("config", ("name",)),
    ("summary.config", ("name",)),
    ("summary", ("config", "name")),
)
_UUID: _Places = (
    ("config.uuid", ()),
    ("summary.config.uuid", ()),
    ("config", ("uuid",)),
    ("summary.config", ("uuid",)),
    ("summary", ("config", "uuid")),
    ("hardware.systemInfo.uuid", ()),
    ("summary.hardware.uuid", ()),
    ("hardware", ("systemInfo", "uuid")),
    ("summary.hardware", ("uuid",)),
    ("summary", ("hardware", "uuid")),
)
_INSTANCE_UUID: _Places = (
    ("config.instanceUuid", ()),
    ("summary.config.instanceUuid", ()),
    ("config", ("instanceUuid",)),
    ("summary.config", ("instanceUuid",)),
    ("summary", ("config", "instanceUuid")),
)
_PATH: _Places = (
    ("summary.config.vmPathName", ()),
    ("config.files.vmPathName", ()),
    ("config.files", ("vmPathName",)),
    ("summary.config", ("vmPathName",)),
    ("summary", ("config", "vmPathName")),
    ("config", ("files", "vmPathName")),
)


# The paths at which a read can say one of these facts, for the core to look at. `summary` whole
# is left out: it changes with every statistic.
IDENTITY_PROPERTIES = (
    *dict.fromkeys(path for path, below in (*_NAME, *_UUID, *_INSTANCE_UUID, *_PATH) if not below),
    "config",
    "summary.config",
    "parentVApp",
)


def objects_seen(read: SoapTransaction, objects: Objects) -> list[Message]:
    """Of every object, tasks apart, whose name, UUID, file or holder the read says."""
    seen: list[Message] = []
    for target, found in objects:
        if target.id and target.type != "Task":
            seen += _object(read, target, found)
    return seen


def _object(read: SoapTransaction, target: Target, found: Properties) -> Iterator[ObjectSeen]:
    named = Target(target.type, target.id, _fact(found, _NAME))
    uuid, instance_uuid = _fact(found, _UUID), _fact(found, _INSTANCE_UUID)
    container, path = _container(found), _fact(found, _PATH)
    if named.name or uuid or instance_uuid or container.id or path:
        yield ObjectSeen(
            **read.seen,
            target=named,
            uuid=uuid,
            instance_uuid=instance_uuid,
            container=container,
            path=path,
        )
    if target.type == "VirtualApp":
        for machine in _morefs(found.get("vm", Element())):
            yield ObjectSeen(**read.seen, target=machine, container=named)


def _fact(found: Properties, places: _Places) -> str:
    for path, below in places:
        value = found.get(path)
        if value is None:
            continue
        text = value.value(*below) if below else value.text.strip()
        if text:
            return text
    return ""


def _container(found: Properties) -> Target:
    """The vApp that holds a VM: its parentVApp, or a resource pool that is one."""
    holder = moref(found.get("parentVApp", Element()))
    if holder.id:
        return holder
    pool = moref(found.get("resourcePool", Element()))
    return pool if pool.type == "VirtualApp" else Target()


def _morefs(value: Element) -> list[Target]:
    return [moref(child) for child in value.children if is_moref(child)]


def server_seen(read: SoapTransaction, objects: Objects) -> list[Message]:
    """ServiceContent.about, by RetrieveServiceContent or by reading the property `content`."""
    about = read.result.at("returnval", "about")
    for _, found in objects:
        about = found["content"].at("about") if "content" in found else about
    service = _SERVICES.get(about.value("apiType"), "")
    if not service:
        return []
    return [
        ServerSeen(
            **read.seen,
            service=service,
            product=about.value("name"),
            version=about.value("version"),
            instance=about.value("instanceUuid"),
        )
    ]
