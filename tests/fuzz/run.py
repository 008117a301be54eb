"""`make fuzz`: each tests/fuzz/fuzz_*.c for a while under libFuzzer, with sanitizers.

What a target found interesting is kept below build/fuzz, so that the next run starts from there; a
crash is written to build/fuzz/TARGET/crash-* and becomes a named test.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import write_seeds

ROOT = Path(__file__).parents[2]
CORE = ROOT / "sensor" / "core"
BUILD = ROOT / "build" / "fuzz"
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-fno-omit-frame-pointer", f"-I{CORE}"]
SANITIZERS = "address,undefined"
LIBRARIES = ["-lz", "-lzstd", "-lnghttp2", "-lcrypto", "-lpthread"]
INPUT_BYTES_MAX = 65536
UNIT_TIMEOUT_S = 20
MEMORY_MB_MAX = 2048


def core_objects() -> list[str]:
    """Every core source that does without Python, compiled unless it has not changed since."""
    newest_header = max(header.stat().st_mtime for header in CORE.glob("*.h"))
    (BUILD / "core").mkdir(parents=True, exist_ok=True)
    objects = []
    for source in sorted(CORE.glob("*.c")):
        if source.name.startswith("module"):
            continue
        made = BUILD / "core" / f"{source.stem}.o"
        changed = max(source.stat().st_mtime, newest_header)
        if not made.exists() or made.stat().st_mtime <= changed:
            sanitize = f"-fsanitize=fuzzer-no-link,{SANITIZERS}"
            command = ["clang", *FLAGS, sanitize, "-fno-sanitize-recover=all"]
            subprocess.run([*command, "-c", str(source), "-o", str(made)], check=True)
        objects.append(str(made))
    return objects


def build(target: Path, objects: list[str]) -> Path:
    binary = BUILD / target.stem.removeprefix("fuzz_") / "fuzz"
    binary.parent.mkdir(parents=True, exist_ok=True)
    command = ["clang", *FLAGS, f"-fsanitize=fuzzer,{SANITIZERS}", "-fno-sanitize-recover=all"]
    command += [str(target), *objects, "-o", str(binary), *LIBRARIES]
    subprocess.run(command, check=True)
    return binary


def fuzz(binary: Path, seconds: int) -> bool:
    """True when nothing was found."""
    corpus = binary.parent / "corpus"
    corpus.mkdir(exist_ok=True)
    seeds = write_seeds(binary.parent.name, binary.parent / "seeds")
    command = [
        str(binary),
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={UNIT_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        "-print_final_stats=1",
        f"-artifact_prefix={binary.parent}/",
    ]
    dictionary = Path(__file__).parent / f"{binary.parent.name}.dict"
    command += [f"-dict={dictionary}"] if dictionary.exists() else []
    command += [str(corpus), str(seeds)]
    log = binary.parent / "log"
    with log.open("w") as file:
        done = subprocess.run(command, stdout=file, stderr=file, check=False)
    lines = log.read_text(errors="replace").splitlines()
    executed = next((line.split()[-1] for line in lines if "number_of_executed_units" in line), "?")
    verdict = "ok" if done.returncode == 0 else f"FOUND SOMETHING, see {log}"
    print(f"{binary.parent.name}: {executed} inputs in {seconds} s: {verdict}", flush=True)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="per target")
    parser.add_argument("targets", nargs="*", help="names without fuzz_; default: all")
    options = parser.parse_args()
    targets = sorted(Path(__file__).parent.glob("fuzz_*.c"))
    if options.targets:
        targets = [each for each in targets if each.stem.removeprefix("fuzz_") in options.targets]
    if not targets:
        raise SystemExit("no such target")
    objects = core_objects()
    clean = [fuzz(build(target, objects), options.seconds) for target in targets]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
