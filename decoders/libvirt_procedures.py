"""The procedures of libvirt's RPC that change something or open access, by number.

Facts: libvirt's src/remote/remote_protocol.x and qemu_protocol.x. A procedure keeps its number;
what a call begins with says what it acts on.
"""

from dataclasses import dataclass
from enum import Enum

from decoders.message import OperationClass

REMOTE, QEMU = 0x20008086, 0x20008087
OPEN, CLOSE = 1, 2
AUTH_LIST, SASL_INIT, SASL_START, SASL_STEP, POLKIT = 66, 67, 68, 69, 70
SET_USER_PASSWORD, SET_SSH_KEYS = 357, 425
MONITOR_COMMAND, AGENT_COMMAND = 1, 3


class Subject(Enum):
    """What a call begins with, which is what it acts on."""

    DOMAIN = "Domain"
    NETWORK = "Network"
    STORAGE_POOL = "StoragePool"
    STORAGE_VOLUME = "StorageVolume"
    INTERFACE = "Interface"
    FILTER = "NetworkFilter"
    SNAPSHOT = "Snapshot"  # of a domain, which follows its name
    DEVICE = "NodeDevice"
    SECRET = "Secret"
    XML = "xml"  # a description, of which the answer says what was made
    NAME = "name"  # a domain's name alone
    OTHER = ""


@dataclass(frozen=True, slots=True)
class Procedure:
    name: str  # as the protocol's, in lower case: domain_create
    kind: OperationClass
    subject: Subject
    makes: Subject = Subject.OTHER  # what the answer names


_CREATE, _UPDATE, _DELETE = OperationClass.CREATE, OperationClass.UPDATE, OperationClass.DELETE
_POWER, _DISK, _GUEST = OperationClass.POWER, OperationClass.DISK, OperationClass.GUEST
_CONSOLE = OperationClass.CONSOLE

# class, then `number name` of procedures that begin with the domain
_OF_DOMAIN: tuple[tuple[OperationClass, str], ...] = (
    (
        _POWER,
        """9 create 12 destroy 27 reboot 28 resume 33 shutdown 34 suspend 55 save 182 managed_save
        196 create_with_flags 232 save_flags 234 destroy_flags 245 reset 258 shutdown_flags
        261 pm_suspend_for_duration 267 pm_wakeup 310 create_with_files""",
    ),
    (_DELETE, "35 undefine 184 managed_save_remove 231 undefine_flags"),
    (
        _UPDATE,
        """8 attach_device 13 detach_device 26 pin_vcpu 29 set_autostart 30 set_max_memory
        31 set_memory 32 set_vcpus 58 set_scheduler_parameters 62 migrate_perform 160
        attach_device_flags 161 detach_device_flags 164 abort_job 166 migrate_set_max_downtime
        174 update_device_flags 197 set_memory_parameters 199 set_vcpus_flags
        204 set_memory_flags 205 set_blkio_parameters 207 migrate_set_max_speed 210 inject_nmi
        213 migrate_begin3 216 migrate_perform3 218 migrate_confirm3
        219 set_scheduler_parameters_flags 225 pin_vcpu_flags 252 set_block_io_tune
        254 set_numa_parameters 256 set_interface_parameters 264 set_metadata 279 pin_emulator
        302 migrate_begin3_params 305 migrate_perform3_params 307 migrate_confirm3_params
        308 set_memory_stats_period 352 pin_iothread 355 add_iothread 356 del_iothread 358 rename
        364 migrate_start_post_copy 366 set_perf_events 372 set_guest_vcpus
        386 set_block_threshold 389 managed_save_define_xml 390 set_lifecycle_action
        392 detach_device_alias 402 set_iothread_params 439 set_launch_security_state""",
    ),
    (
        _DISK,
        """53 core_dump 103 block_peek 104 memory_peek 237 block_job_abort 239 block_job_set_speed
        240 block_pull 251 block_resize 266 block_rebase 290 block_commit
        334 core_dump_with_format 345 block_copy
        421 backup_begin 443 fd_associate""",
    ),
    (
        _GUEST,
        """294 fstrim 295 send_process_signal 335 fsfreeze 336 fsthaw 338 set_time
        357 set_user_password 425 authorized_ssh_keys_set""",
    ),
    (
        _CONSOLE,
        """201 open_console 211 screenshot 226 send_key 249 open_graphics 296 open_channel
        343 open_graphics_fd""",
    ),
)
# subject, class, prefix of the names, numbers and names
_OF_OTHERS: tuple[tuple[Subject, OperationClass, str, str], ...] = (
    (Subject.NETWORK, _POWER, "network", "39 create 42 destroy"),
    (Subject.NETWORK, _UPDATE, "network", "48 set_autostart 291 update"),
    (Subject.NETWORK, _DELETE, "network", "49 undefine"),
    (Subject.STORAGE_POOL, _UPDATE, "storage_pool",
     "78 create 79 build 80 destroy 90 set_autostart"),
    (Subject.STORAGE_POOL, _DELETE, "storage_pool", "81 delete 82 undefine"),
    (Subject.STORAGE_POOL, _CREATE, "storage_vol", "93 create_xml 125 create_xml_from"),
    (Subject.STORAGE_VOLUME, _DELETE, "storage_vol", "94 delete 165 wipe 259 wipe_pattern"),
    (Subject.STORAGE_VOLUME, _DISK, "storage_vol", "208 upload 209 download 260 resize"),
    (Subject.INTERFACE, _UPDATE, "interface", "133 create 134 destroy"),
    (Subject.INTERFACE, _DELETE, "interface", "132 undefine"),
    (Subject.FILTER, _DELETE, "nwfilter", "181 undefine"),
    (Subject.DEVICE, _UPDATE, "node_device",
     "118 dettach 119 re_attach 120 reset 301 detach_flags 430 create 434 set_autostart"),
    (Subject.DEVICE, _DELETE, "node_device", "124 destroy 429 undefine"),
    (Subject.SECRET, _UPDATE, "secret", "144 set_value"),
    (Subject.SECRET, _DISK, "secret", "145 get_value"),
    (Subject.SECRET, _DELETE, "secret", "146 undefine"),
    (Subject.SNAPSHOT, _UPDATE, "domain", "192 revert_to_snapshot"),
    (Subject.SNAPSHOT, _DELETE, "domain", "193 snapshot_delete 415 checkpoint_delete"),
    (Subject.OTHER, _UPDATE, "domain", """54 restore 61 migrate_prepare 108 migrate_prepare2
        148 migrate_prepare_tunnel 214 migrate_prepare3 215 migrate_prepare_tunnel3
        233 restore_flags 236 save_image_define_xml 303 migrate_prepare3_params
        304 migrate_prepare_tunnel3_params 306 migrate_finish3_params"""),
    (Subject.NAME, _UPDATE, "domain", "63 migrate_finish 109 migrate_finish2 217 migrate_finish3"),
    (Subject.OTHER, _POWER, "node", "250 suspend_for_duration"),
    (Subject.OTHER, _UPDATE, "node", "288 set_memory_parameters 347 alloc_pages"),
    (Subject.OTHER, _UPDATE, "interface", "220 change_begin 221 change_commit 222 change_rollback"),
)  # fmt: skip
# What is made from a description, and what the answer says it became.
_OF_XML: tuple[tuple[Subject, str, str], ...] = (
    (Subject.DOMAIN, "domain", "10 create_xml 11 define_xml 309 create_xml_with_files "
     "350 define_xml_flags"),
    (Subject.NETWORK, "network", "40 create_xml 41 define_xml"),
    (Subject.STORAGE_POOL, "storage_pool", "76 create_xml 77 define_xml"),
    (Subject.INTERFACE, "interface", "131 define_xml"),
    (Subject.FILTER, "nwfilter", "180 define_xml"),
    (Subject.DEVICE, "node_device", "123 create_xml 428 define_xml"),
    (Subject.SECRET, "secret", "142 define_xml"),
)  # fmt: skip


def _pairs(prefix: str, text: str) -> list[tuple[int, str]]:
    words = text.split()
    numbers, names = words[::2], words[1::2]
    return [(int(number), f"{prefix}_{name}") for number, name in zip(numbers, names, strict=True)]


def _table() -> dict[tuple[int, int], Procedure]:
    table: dict[tuple[int, int], Procedure] = {}
    for kind, text in _OF_DOMAIN:
        for number, name in _pairs("domain", text):
            table[REMOTE, number] = Procedure(name, kind, Subject.DOMAIN)
    for subject, kind, prefix, text in _OF_OTHERS:
        for number, name in _pairs(prefix, text):
            table[REMOTE, number] = Procedure(name, kind, subject)
    for made, prefix, text in _OF_XML:
        for number, name in _pairs(prefix, text):
            table[REMOTE, number] = Procedure(name, _CREATE, Subject.XML, made)
    for number, name in _pairs("domain", "185 snapshot_create_xml 411 checkpoint_create_xml"):
        table[REMOTE, number] = Procedure(name, _CREATE, Subject.DOMAIN, Subject.SNAPSHOT)
    table[QEMU, MONITOR_COMMAND] = Procedure("qemu_monitor_command", _UPDATE, Subject.DOMAIN)
    table[QEMU, 2] = Procedure("qemu_attach", _CREATE, Subject.OTHER, Subject.DOMAIN)
    table[QEMU, AGENT_COMMAND] = Procedure("qemu_agent_command", _GUEST, Subject.DOMAIN)
    table[QEMU, 7] = Procedure("qemu_monitor_command_with_files", _UPDATE, Subject.DOMAIN)
    return table


PROCEDURES = _table()
