"""What the metrics say that are neither of the core nor of a part of its own, and closed sets."""

KEY_INPUTS = ("file", "fifo", "unix", "udp")
KEY_HELP = {  # of sensor/keybuffer.py Tally
    "read_bytes": "Bytes of key logs handed to the core, by kind of input.",
    "overlong_lines": "Lines of key logs too long to be keys.",
    "shed_bytes": "Bytes of key logs given up because the core had no room.",
    "cut_datagrams": "Datagrams of key logs beyond 64 KiB; their ends are lost.",
    "dropped_datagrams": "Datagrams of key logs that the kernel dropped, its queue being full.",
    "rotations": "Key logs that came to be another file.",
    "truncations": "Key logs that were begun anew.",
    "errors": "Times that a key log could not be read, for a new reason.",
}
CORE_GAUGE_HELP = {
    "flows": ("hoptap_flows_active", "Flows in the table now."),
    "memory_bytes": ("hoptap_memory_bytes", "Bytes held for traffic now."),
    "memory_bytes_limit": ("hoptap_memory_limit_bytes", "Most bytes that may be held for traffic."),
}
ANALYSIS_HELP = {
    "sessions": "Sessions known.",
    "sessions_active": "Sessions neither ended nor idle.",
    "addresses": "Addresses whose service is known.",
    "accounts": "Accounts known that services act under.",
    "objects": "Inventory objects known.",
    "actions": "Actions that may still be amended, or cause another.",
    "actions_pending": "Actions whose chain is not decided yet.",
    "hosts": "Hosts known by their heartbeats.",
    "guest_sessions": "Sessions inside guests.",
    "open_disks": "Disks, consoles and files that are open.",
}
HEARTBEAT_HELP = {  # of sensor/hosts.py
    "received": "Heartbeats of hosts to their vCenter.",
    "missed": "Heartbeats missing by the hosts' counters: lost at the span port, or on the way.",
    "restarts": "Times that a host's heartbeats began to count anew.",
}
INPUT_HELP = {
    "received": ("packets", "Packets that the input delivered."),
    "dropped": ("packets_dropped", "Packets the kernel dropped because the ring was full."),
    "frozen": ("ring_freezes", "Times that the ring was full."),
    "truncated": ("packets_truncated", "Packets captured shorter than they were on the wire."),
    "secrets_shed": ("secrets_shed", "Decryption secrets blocks past 64 MiB of a file."),
}
TLS_VERSIONS = ("unknown", "older", "1.2", "1.3")
TLS_RESULTS = {  # as in sensor/core/tls_counters.h
    "decrypted": "something of it was decrypted",
    "no_key": "its secret never came",
    "late_key": "its secret came after ciphertext had been let go",
    "unsupported": "of a version, suite or extension not decrypted",
    "failed": "its records authenticate under no key that was given",
    "unseen": "its handshake was not captured",
    "unfinished": "it ended before anything was encrypted",
}
TUNNELS = ("gre", "erspan", "vxlan", "geneve", "ipip")
