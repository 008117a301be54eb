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
SHED_HELP = {  # tables that sessions, alerts and the correlation keep
    "sessions": "sessions",
    "tickets": "tickets that may be redeemed",
    "addresses": "addresses, and accounts that they act under",
    "objects": "inventory objects",
    "object_links": "peers and holders of one object",
    "actions": "actions that could still be a cause",
    "namesakes": "actions under one id, object, name or task, which are found no more by it",
    "amendments": "records that would have amended an action once more",
    "redraws": "further ways down to an action in a loop of references",
    "waiting_ids": "ids by which a late cause would be known",
    "waiting_actions": "actions that wait for a cause under one id",
    "passed_ids": "request ids, or who else sent one",
    "task_references": "tasks named before they were seen",
    "habits": "clients that may pass on ids",
    "experience": "kinds of hops not learned",
    "unnamed_sessions": "sessions whose name may come",
    "unnamed_actions": "actions of one such session",
    "ticket_sessions": "sessions that a ticket began",
    "guest_sessions": "sessions inside guests",
    "open_disks": "disks, consoles and files that are open",
    "accounts": "accounts that services act under",
    "hosts": "hosts that send heartbeats",
    "alerts": "what was said, failed or opened before",
    "legs": "requests whose other leg may come",
    "tls_leg_messages": "messages of TLS sessions seen twice",
    "proxy_headers": "flows with a PROXY header",
    "proxy_users": "accounts at proxies",
    "assertions": "SAML assertions",
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
CUTTER_HELP = {  # where the kernel runs the program of sensor/core/cutter.h
    "filtered": (
        "packets_filtered",
        "Packets that the kernel kept out, being of none of capture.ports.",
    ),
    "filtered_bytes": ("bytes_filtered", "Bytes in them."),
    "cut": ("packets_cut", "Packets of sealed TLS that the kernel cut behind their headers."),
    "cut_bytes": ("bytes_cut", "Bytes that were left out of them."),
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
