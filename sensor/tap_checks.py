"""`hoptap check` of the taps: what each would need on this machine, and how to get it."""

from collections.abc import Iterator

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
    for tap in settings.tap:
        yield from _of(tap, settings)


def _of(tap: TapSettings, settings: Settings) -> Iterator[Finding]:
    from sensor import bpf

    subject = f"tap {tap.id}"
    mode: bpf.Mode = "keys" if tap.mode == KEYS else "plaintext"
    lacking = bpf.missing_for(tap.target, mode, tap.machine_wide)
    for each in lacking:
        yield Finding(Level.NOTE, subject, f"{each.what}: {each.how}")
    if mode == "keys" and not settings.capture.interfaces:
        text = "reads TLS secrets, but there are no packets to decrypt: name capture.interfaces"
        yield Finding(Level.NOTE, subject, text)
    if not lacking:
        yield Finding(Level.OK, subject, f"{tap.target} can be traced")
