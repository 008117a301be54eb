"""Records a capture of the five levels, with its truth: python -m tests.lab.record_levels NAME.

NAME is that of a folder below tests/captures.
"""

import gzip
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.lab.five_levels import SWITCH, open_lab
from tests.lab.namespaces import wait_for
from tests.packaged import CAPTURES

# name -> are ids passed on, rounds in turn, rounds all at once
RECORDED = {"five-levels": (True, 0, 5), "five-levels-noopid": (False, 1, 3)}
LAST_PACKETS_S = 2
TIMEOUT_S = 60


def main() -> int:
    [name] = sys.argv[1:]
    with_ids, calm, rounds = RECORDED[name]
    folder = CAPTURES / name
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as text, open_lab() as lab:
        directory = Path(text)
        directory.chmod(0o777)  # tcpdump gives its rights up
        capture = directory / "capture.pcap"
        command = ("tcpdump", "-i", SWITCH, "--immediate-mode", "-s0", "-w", str(capture))
        recorder = lab.switch.start(*command)
        wait_for(lambda: lab.switch.packet_sockets() > 0, "tcpdump")
        lab.start(directory, with_ids=with_ids)
        did = lab.work(calm=calm, rounds=rounds)
        time.sleep(LAST_PACKETS_S)
        recorder.terminate()
        recorder.wait(TIMEOUT_S)
        packed = folder / "capture.pcap.zst"
        command = ("zstd", "-19", "-q", "-f", str(capture), "-o", str(packed))
        subprocess.run(command, check=True, timeout=TIMEOUT_S)
        packed.chmod(0o644)
    truth = json.dumps({"did": did}, indent=1).encode()
    (folder / "truth.json.gz").write_bytes(gzip.compress(truth, mtime=0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
