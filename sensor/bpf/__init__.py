"""The tap of a TLS library: kernel programs, their loader, and which processes they trace."""

from sensor.bpf.lacking import Missing, missing, missing_for
from sensor.bpf.programs import TapError
from sensor.bpf.tap import Mode, Tap

__all__ = ["Missing", "Mode", "Tap", "TapError", "missing", "missing_for"]
