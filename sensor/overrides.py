"""What the command line says instead of the configuration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sensor import config
from sensor.exits import UsageError
from sensor.settings import CaptureSettings, KeySettings


def capture_with(asked: Mapping[str, Any], capture: CaptureSettings) -> CaptureSettings:
    """`asked`: the options by their names. Raises UsageError."""
    changes: dict[str, Any] = {}
    for option, name in (("workers", "workers"), ("interface", "interfaces")):
        value = asked.get(option)
        if value is None:
            continue
        value = tuple(dict.fromkeys(value)) if isinstance(value, list) else value
        problem = config.field_problem(CaptureSettings, name, value)
        if problem:
            raise UsageError(f"--{option}: {problem}")
        changes[name] = value
    return replace(capture, **changes)


def keys_with(asked: Mapping[str, Any], keys: KeySettings) -> KeySettings:
    """With the files that the options name; naming one is asking for what it is for."""
    logs, rsa_keys = asked.get("keys", []), asked.get("rsa_key", [])
    decrypt = asked.get("decrypt", False) or asked.get("tap_keys", [])
    return replace(
        keys,
        decrypt=bool(decrypt or keys.decrypt or logs or rsa_keys),
        logs=(*keys.logs, *logs),
        rsa_keys=(*keys.rsa_keys, *rsa_keys),
    )
