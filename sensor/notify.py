"""Tells systemd how the service is: one datagram each, no library (sd_notify(3))."""

import os
import socket


def notify(*states: str) -> None:
    """For example `READY=1`. Without a service manager, nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # abstract socket, unix(7)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        try:
            out.sendto("\n".join(states).encode(), address)
        except OSError:
            return  # a manager that does not listen must not stop the sensor


def watchdog_s() -> float:
    """How often the manager wants to hear `WATCHDOG=1`, halved as advised; 0: never."""
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 2e6 if text.isascii() and text.isdigit() else 0.0
