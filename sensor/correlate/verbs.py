"""What a call does, coarse enough to compare a cloud's verb with the host call that it leads to.

The table is permissive: it excludes the impossible (a power-on does not lead to a destroy) and
ranks the expected; how often one verb leads to another is for statistics.
"""

import re
from enum import StrEnum
from functools import lru_cache

from decoders.message import OperationClass


class Verb(StrEnum):
    CREATE = "create"
    DESTROY = "destroy"
    POWER_ON = "power_on"
    POWER_OFF = "power_off"
    UNDEPLOY = "undeploy"
    RESET = "reset"
    SNAPSHOT = "snapshot"
    CONFIGURE = "configure"
    MIGRATE = "migrate"
    GUEST = "guest"
    CONSOLE = "console"
    DISK = "disk"
    OTHER = "other"


# First match wins, on the lower-cased name without its dots, slashes and underscores.
_NAMES: tuple[tuple[re.Pattern[str], Verb], ...] = tuple(
    (re.compile(pattern), verb)
    for pattern, verb in (
        ("inguest|runscript|guestfile|guestprocess", Verb.GUEST),
        ("snapshot", Verb.SNAPSHOT),
        ("recompose|reconfig|rename|customize|upgradevm", Verb.CONFIGURE),
        ("migrate|relocate", Verb.MIGRATE),
        ("^domaindestroy|^domainmanagedsave$", Verb.POWER_OFF),  # libvirt's destroy pulls the plug
        ("^domaincreate(withflags|withfiles)?$", Verb.POWER_ON),  # and its create starts
        ("unregister|destroy|delete|undefine", Verb.DESTROY),
        ("instantiate|compose|clone|createvm|createchildvm|vmcreate", Verb.CREATE),
        ("registervm|vmregister|importvapp|definesystem|domaindefine|domaincreatexml", Verb.CREATE),
        ("undeploy", Verb.UNDEPLOY),
        ("poweroff|powerstop|suspend|shutdown|standby", Verb.POWER_OFF),
        ("poweron|powerstart|deploy", Verb.POWER_ON),
        ("reset|reboot|powercycle", Verb.RESET),
        ("statechangeon$|resume|unpause|unshelve", Verb.POWER_ON),
        ("statechange(off|pause)$|pause|shelve|stop(all)?$", Verb.POWER_OFF),
        ("(?<!re)start(all|on)?$", Verb.POWER_ON),
    )
)
_CLASSES = {
    OperationClass.CREATE: Verb.CREATE,
    OperationClass.UPDATE: Verb.CONFIGURE,
    OperationClass.DELETE: Verb.DESTROY,
    OperationClass.GUEST: Verb.GUEST,
    OperationClass.CONSOLE: Verb.CONSOLE,
    OperationClass.DISK: Verb.DISK,
}
# Classes that say more than any name.
_TELLING = {OperationClass.GUEST, OperationClass.CONSOLE, OperationClass.DISK, OperationClass.LOGIN}

# What else a verb one level up can lead to, besides the same verb.
_LEADS_TO: dict[Verb, frozenset[Verb]] = {
    Verb.CREATE: frozenset(
        {Verb.CONFIGURE, Verb.POWER_ON, Verb.SNAPSHOT, Verb.DISK, Verb.MIGRATE, Verb.OTHER}
    ),
    Verb.DESTROY: frozenset(
        {Verb.POWER_OFF, Verb.UNDEPLOY, Verb.CONFIGURE, Verb.SNAPSHOT, Verb.DISK, Verb.OTHER}
    ),
    Verb.POWER_ON: frozenset({Verb.CONFIGURE, Verb.CREATE, Verb.MIGRATE, Verb.DISK, Verb.OTHER}),
    Verb.POWER_OFF: frozenset({Verb.CONFIGURE, Verb.OTHER}),
    Verb.UNDEPLOY: frozenset({Verb.POWER_OFF, Verb.DESTROY, Verb.CONFIGURE, Verb.OTHER}),
    Verb.RESET: frozenset({Verb.POWER_OFF, Verb.POWER_ON, Verb.OTHER}),
    Verb.SNAPSHOT: frozenset({Verb.DISK, Verb.CONFIGURE, Verb.OTHER}),
    Verb.CONFIGURE: frozenset(
        {Verb.CREATE, Verb.DESTROY, Verb.DISK, Verb.SNAPSHOT, Verb.MIGRATE, Verb.OTHER}
    ),
    Verb.MIGRATE: frozenset(
        {Verb.CREATE, Verb.DESTROY, Verb.POWER_ON, Verb.POWER_OFF, Verb.CONFIGURE, Verb.DISK}
    ),
    Verb.GUEST: frozenset(),
    Verb.CONSOLE: frozenset(),
    Verb.DISK: frozenset({Verb.CONFIGURE, Verb.OTHER}),
    Verb.OTHER: frozenset(Verb) - {Verb.GUEST, Verb.CONSOLE},
}

SAME, POSSIBLE, IMPOSSIBLE = 1.0, 0.5, 0.0


@lru_cache(maxsize=4096)
def verb_of(operation: str, operation_class: OperationClass) -> Verb:
    """The verb of an operation by its name, else by its class."""
    if operation_class in _TELLING:
        return _CLASSES.get(operation_class, Verb.OTHER)
    name = re.sub(r"[^a-z0-9]", "", operation.lower())
    for pattern, verb in _NAMES:
        if pattern.search(name):
            return verb
    return _CLASSES.get(operation_class, Verb.OTHER)


def compatible(parent: Verb, child: Verb) -> float:
    """How well `parent` explains a call of verb `child`: SAME, POSSIBLE or IMPOSSIBLE."""
    if parent == child:
        return SAME
    return POSSIBLE if child in _LEADS_TO[parent] else IMPOSSIBLE
