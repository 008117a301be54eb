"""The tap of a TLS library: kernel programs, their loader, and which processes they trace."""

from sensor.bpf.admission import Admission
from sensor.bpf.lacking import Missing, missing, missing_for, reduced
from sensor.bpf.libraries import Mode
from sensor.bpf.programs import TapError
from sensor.bpf.tap import Tap

__all__ = ["Admission", "Missing", "Mode", "Tap", "TapError", "missing", "missing_for", "reduced"]
