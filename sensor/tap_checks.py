"""`hoptap check` of the taps: what each would need on this machine, and how to get it."""

from collections.abc import Iterator

from sensor.exits import ConfigError
from sensor.finding import Finding, Level
from sensor.settings import Settings
from sensor.tap_settings import KEYS, TapSettings

SUBJECT = "TLS tap"


def tap_findings(settings: Settings) -> Iterator[Finding]:
    from sensor import bpf

    lacking = bpf.missing()
    if not settings.tap:
        wanting = "; ".join(f"{each.what}: {each.how}" for each in lacking)
        text = f"could be opened but for: {wanting}" if lacking else "none; one could be opened"
        yield Finding(Level.NOTE, SUBJECT, text)
        return
    for each in lacking:
        yield Finding(Level.PROBLEM, SUBJECT, f"{each.what} is missing: {each.how}")
    for each in bpf.reduced():
        yield Finding(Level.NOTE, SUBJECT, f"better with {each.what}: {each.how}")
    if settings.sensor.user:
        text = (
            f"sensor.user = {settings.sensor.user} gives up what tracing a restart takes: leave it "
            "empty, or run as that user with the AmbientCapabilities that a tap needs"
        )
        yield Finding(Level.NOTE, SUBJECT, text)
    for tap in settings.tap:
        yield from _of(tap, settings)


def _of(tap: TapSettings, settings: Settings) -> Iterator[Finding]:
    from sensor import bpf

    subject = f"tap {tap.id}"
    mode: bpf.Mode = "keys" if tap.mode == KEYS else "plaintext"
    try:
        admission = bpf.Admission(tap.exe, tap.uid(), tap.any_owner)
    except ConfigError as error:
        yield Finding(Level.PROBLEM, subject, str(error))
        return
    lacking = bpf.missing_for(tap.target, mode, tap.machine_wide, admission)
    for each in lacking:
        # A process may come yet; without its file a tap does not open.
        level = Level.PROBLEM if tap.library else Level.NOTE
        yield Finding(level, subject, f"{each.what}: {each.how}")
    if mode == "keys" and not settings.capture.interfaces:
        text = "reads TLS secrets, but there are no packets to decrypt: name capture.interfaces"
        yield Finding(Level.NOTE, subject, text)
    if not lacking:
        yield Finding(Level.OK, subject, f"{tap.target} can be traced")
