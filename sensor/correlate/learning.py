"""What hops and results teach the inventory: which object is which, and what is inside what."""

from decoders.message import Outcome, Target
from sensor.correlate.actions import Action, Actions, Cause
from sensor.correlate.inventory import Inventory, object_id
from sensor.correlate.relations import HOLDER_TYPES, VM_TYPES, vm_names
from sensor.correlate.verbs import Verb
from sensor.services import Services

# A hop less probable than this teaches nothing.
WEIGHT_MIN = 0.6


def learn_from_call(inventory: Inventory, action: Action) -> None:
    """Names and containment that the call itself states."""
    for target in (action.target, *action.call.related):
        if target.id and target.name:
            inventory.named(action.server, target)


def learn_from_result(inventory: Inventory, actions: Actions, action: Action) -> None:
    """What the action made or destroyed, once it is known to have succeeded."""
    if action.outcome is not Outcome.SUCCESS:
        return
    if action.verb is Verb.CREATE:
        names = vm_names(action)
        for made in _made(action):
            inventory.made(action.server, made, names[0] if len(names) == 1 else "")
        learn_from_hop(inventory, actions, action)
    elif action.verb is Verb.DESTROY and action.target.id:
        inventory.gone(action.server, action.target.id, action.call.end_ns)


def learn_from_hop(inventory: Inventory, actions: Actions, child: Action) -> None:
    """Both ends of a hop act on the same object, or on a vApp and a VM of it."""
    verdict = child.verdict
    if verdict is None or verdict.cause not in (Cause.EXPLICIT, Cause.CORRELATED):
        return
    if not verdict.links:
        return
    best = verdict.links[0]
    parent = actions.get(best.parent)
    if parent is None or best.weight < WEIGHT_MIN or verdict.conflict:
        return
    weight = 1.0 if verdict.cause is Cause.EXPLICIT else best.weight
    below = _made(child) if child.verb is Verb.CREATE else [child.target]
    for target in below:
        if target.type in VM_TYPES and target.id:
            _learn_object(inventory, child, target, parent, weight)


def learn_service(services: Services, actions: Actions, action: Action) -> None:
    """An id that a service gave, from an address not known as its: it may be another cell."""
    verdict = action.verdict
    if verdict is None or verdict.cause is not Cause.EXPLICIT or not verdict.links:
        return
    if verdict.conflict:
        return
    parent = actions.get(verdict.links[0].parent)
    if parent is None or parent.server == action.client:
        return
    if not services.of_client(action.client) and action.paths:
        above = services.of_server(parent.server, parent.server_port)
        account = (action.server, action.account)
        services.vouch(action.client, above, action.paths[0].pairs[0][1], account)


def _learn_object(
    inventory: Inventory, child: Action, target: Target, parent: Action, weight: float
) -> None:
    key = (child.server, object_id(target.id))
    above = parent.target
    if child.verb is not Verb.CREATE and above.type in VM_TYPES and parent.verb is not Verb.CREATE:
        inventory.link(key, (parent.server, object_id(above.id)), weight)
    for holder in (above, *parent.call.related):
        if holder.type in HOLDER_TYPES and holder.id:
            inventory.contain((parent.server, object_id(holder.id)), key, weight)


def _made(action: Action) -> list[Target]:
    """VMs that the action made: its task's result, or what the answer named."""
    made = [action.result, *(each for each in action.call.related if each.id)]
    return [each for each in made if each.type in VM_TYPES and each.id != action.target.id]
