"""Bodies of VIX requests: packed fixed parts, then strings."""

from scapy.fields import (
    ByteField,
    LEIntField,
    LELongField,
    LESignedIntField,
    LESignedLongField,
)
from scapy.packet import Packet

from tests.scapy_layers.fields import Part, fields, lengths_of, texts


class VixRunProgram(Part):
    name = "VIX run program"
    fields_desc = fields(
        LESignedIntField("options", 0),
        *lengths_of("program", "arguments"),
        *texts("program", "arguments"),
    )


class VixRunScript(Part):
    name = "VIX run script"
    fields_desc = fields(
        LESignedIntField("options", 0),
        *lengths_of("interpreter", "script", "properties"),
        *texts("interpreter", "script", "properties"),
    )


class VixStartProgram(Part):
    name = "VIX start program"
    fields_desc = fields(
        ByteField("minimized", 0),
        *lengths_of("program", "arguments", "directory"),
        LEIntField("variables", 0),
        *lengths_of("environment"),
        *texts("program", "arguments", "directory", "environment"),
    )


class VixFile(Part):
    """Of a file, a directory or a registry key."""

    name = "VIX file"
    fields_desc = fields(LESignedIntField("options", 0), *lengths_of("path"), *texts("path"))


class VixListFiles(Part):
    name = "VIX list files"
    fields_desc = fields(
        LESignedIntField("options", 0),
        *lengths_of("path", "pattern"),
        LESignedIntField("index", 0),
        LESignedIntField("results_max", 0),
        LELongField("offset", 0),
        *texts("path", "pattern"),
    )


class VixRename(Part):
    name = "VIX rename"
    fields_desc = fields(
        LESignedIntField("options", 0),
        *lengths_of("old", "new", "properties"),
        *texts("old", "new", "properties"),
    )


class VixRenameEx(Part):
    name = "VIX rename, extended"
    fields_desc = fields(
        LESignedIntField("options", 0),
        *lengths_of("old", "new", "properties"),
        ByteField("overwrite", 0),
        *texts("old", "new", "properties"),
    )


class VixTransferToGuest(Part):
    name = "VIX transfer to guest"
    fields_desc = fields(
        LESignedIntField("options", 0),
        *lengths_of("path"),
        ByteField("overwrite", 0),
        *texts("path"),
    )


class VixKill(Part):
    name = "VIX kill process"
    fields_desc = fields(LELongField("pid", 0), LEIntField("options", 0))


class VixCreateSnapshot(Part):
    name = "VIX create snapshot"
    fields_desc = fields(
        LESignedIntField("options", 0),
        ByteField("power_off", 0),
        ByteField("save_devices", 0),
        *lengths_of("label", "description"),
        *texts("label", "description"),
    )


class VixAcquireCredentials(Part):
    name = "VIX acquire credentials"
    fields_desc = fields(LESignedLongField("session", 0))


class VixSetRegistryValue(Part):
    name = "VIX set registry value"
    fields_desc = fields(
        LEIntField("options", 0),
        *lengths_of("path"),
        LEIntField("bits", 0),
        *lengths_of("value"),
        LEIntField("data_type", 0),
        *lengths_of("data"),
        *texts("path", "value", "data"),
    )


class VixAddAlias(Part):
    name = "VIX add alias"
    fields_desc = fields(
        LEIntField("options", 0),
        *lengths_of("user", "certificate"),
        ByteField("mapping", 0),
        LESignedIntField("subject_type", 0),
        *lengths_of("subject", "comment"),
        *texts("user", "certificate", "subject", "comment"),
    )


class VixProgramRan(Part):
    """Body of the response to RUN_PROGRAM."""

    name = "VIX program ran"
    fields_desc = fields(
        LESignedIntField("exit_code", 0),
        LESignedLongField("elapsed", 0),
        LESignedLongField("pid", 0),
        *lengths_of("output", "errors"),
        *texts("output", "errors"),
    )


BODIES: dict[int, type[Packet]] = {
    4: VixRunProgram,
    14: VixCreateSnapshot,
    18: VixFile,
    46: VixRunScript,
    72: VixFile,
    76: VixRename,
    85: VixKill,
    94: VixFile,
    177: VixListFiles,
    179: VixRenameEx,
    185: VixStartProgram,
    188: VixListFiles,
    189: VixTransferToGuest,
    190: VixAcquireCredentials,
    193: VixKill,
    194: VixFile,
    197: VixAddAlias,
    204: VixSetRegistryValue,
}
