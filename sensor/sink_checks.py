"""`hoptap check` of the sinks: what goes where; with --probe, what each receiver says to a call."""

import os
from collections.abc import Iterator
from pathlib import Path

from exporters.outbox import SinkError
from exporters.segments import segments_in
from sensor.exits import ConfigError
from sensor.finding import Finding, Level
from sensor.progress import bytes_text
from sensor.receivers import host_name, receiver_of
from sensor.settings import Settings
from sensor.sink_settings import SinkSettings


def sink_findings(settings: Settings, probe: bool) -> Iterator[Finding]:
    if not settings.sink:
        yield Finding(Level.OK, "sinks", "none configured: records stay on this machine")
    for sink in settings.sink:
        subject = f"sink {sink.id}"
        found = _found(sink, settings)
        if found:
            yield Finding(Level.PROBLEM, subject, found)
        else:
            yield Finding(Level.OK, subject, _described(sink, settings))
            if probe and sink.is_spooled:
                yield _probed(sink)


def _described(sink: SinkSettings, settings: Settings) -> str:
    how = sink.type if sink.type != "syslog" else f"syslog {sink.protocol}"
    parts = [f"{how} {sink.to}, format {sink.format_name}"]
    if sink.uses_tls:
        parts.append("TLS")
    for what, values in (("kinds", sink.kinds), ("services", sink.services)):
        if values:
            parts.append(f"only {what} {', '.join(values)}")
    if sink.classes:
        parts.append(f"only {', '.join(sink.classes)}")
    if sink.pseudonymize:
        parts.append(f"pseudonyms instead of each {' and '.join(sink.pseudonymize)}")
    if sink.drop:
        parts.append(f"without {', '.join(sink.drop)}")
    if sink.is_spooled:
        parts.append(_spooled(settings.spool_path(sink.id), sink.spool_bytes_max))
    return "; ".join(parts)


def _spooled(path: Path, bytes_max: int) -> str:
    used = 0
    if path.is_dir():
        used = sum(segment.stat().st_size for _, segment in segments_in(path) if segment.exists())
    return f"spool {bytes_text(used)} of {bytes_text(bytes_max)}"


def _found(sink: SinkSettings, settings: Settings) -> str:
    """What would keep the sink from being made, or ""."""
    if not sink.is_spooled:
        return no_file(Path(sink.to), settings) or _not_writable(Path(sink.to))
    if problem := _not_writable(settings.spool_path(sink.id)):
        return problem
    try:
        receiver_of(sink, host_name(), lambda line: None).transport.close()
    except ConfigError as error:
        return str(error).removeprefix(f"sink {sink.id}: ")
    return ""


def no_file(path: Path, settings: Settings) -> str:
    """Directories of a file are not made: a misspelt one would take records that nobody finds.

    The data directory is made at the first start.
    """
    if path.is_dir():
        return f"{path} is a directory"
    made = os.path.abspath(settings.sensor.data_dir)
    if not path.parent.is_dir() and not Path(made).is_relative_to(os.path.abspath(path.parent)):
        return f"{path} cannot be made: there is no directory {path.parent}"
    return ""


def _not_writable(path: Path) -> str:
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if nearest == path:
        return "" if os.access(path, os.W_OK) else f"{path} cannot be written"
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return f"{path} cannot be made: {nearest} is not writable"
    return ""


def _probed(sink: SinkSettings) -> Finding:
    subject = f"sink {sink.id}"
    warnings: list[str] = []
    transport = receiver_of(sink, host_name(), warnings.append).transport
    try:
        said = transport.probe()
    except SinkError as error:
        return Finding(Level.PROBLEM, subject, str(error))
    finally:
        transport.close()
    if warnings:
        return Finding(Level.NOTE, subject, "; ".join((said, *warnings)))
    return Finding(Level.OK, subject, said)
