"""TaskInfo, whole or split into info.* properties, wherever a read shows it -> TaskChanged of
ended tasks."""

from collections.abc import Iterator

from decoders.element import Element
from decoders.message import Message, Outcome, Target, TaskChanged
from decoders.soap import SoapTransaction
from decoders.vim25_objects import Objects, Properties, is_moref, moref, type_of_id

_ENDED = {"success": Outcome.SUCCESS, "error": Outcome.FAILURE}
_LISTS = ("ReadNextTasks", "ReadPreviousTasks")  # of a TaskHistoryCollector: an array of TaskInfo
INFO = "TaskInfo"


def task_changes(read: SoapTransaction, objects: Objects) -> list[Message]:
    """One message per ended task; several for one task when updates came in several steps."""
    changes = (_change(read, task, info) for task, info in _infos(read, objects))
    return [change for change in changes if change is not None]


def _infos(read: SoapTransaction, objects: Objects) -> Iterator[tuple[str, Element]]:
    if read.operation in _LISTS:
        yield from (("", info) for info in read.result.all("returnval"))
        return
    for target, found in objects:
        if target.type == "Task" or (not target.type and type_of_id(target.id) == "Task"):
            yield target.id, _joined(found)
        for value in found.values():
            yield from (("", info) for info in value.all(INFO))  # latestPage of a collector


def _joined(found: Properties) -> Element:
    """`info`, with properties like info.state as its children."""
    info = Element(INFO)
    if "info" in found:
        info.children += found["info"].children
    for path, value in found.items():
        parent, _, name = path.partition(".")
        if parent == "info" and name:
            child = Element(name, value.text, value.xsi_type)
            child.attributes, child.children = value.attributes, value.children
            info.children.append(child)
    return info


def _change(read: SoapTransaction, task: str, info: Element) -> TaskChanged | None:
    outcome = _ENDED.get(info.value("state"))
    task = task or info.value("task") or info.value("key")
    if outcome is None or not task:
        return None
    entity, result = moref(info.at("entity")), info.at("result")
    return TaskChanged(
        **read.seen,
        task=task,
        outcome=outcome,
        fault=fault_of(info.at("error")) if outcome is Outcome.FAILURE else "",
        operation=info.value("descriptionId") or info.value("name"),
        entity=Target(entity.type, entity.id, info.value("entityName")),
        user=info.value("reason", "userName"),
        result=moref(result) if is_moref(result) else Target(),
        parent_task=info.value("parentTaskKey"),
        root_task=info.value("rootTaskKey"),
        activation_id=info.value("activationId"),
    )


def fault_of(error: Element) -> str:
    """Name of the fault in a LocalizedMethodFault."""
    fault = error.at("fault")
    return fault.xsi_type or next((child.name for child in fault.children), "")
