"""The command: parses arguments, reads the configuration, calls the part that does it, says errors.

Parts are imported when they are called: `hoptap who` works where the core is not built.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sensor import config, hashing, overrides, tap_settings, terminal, when
from sensor.arguments import check_text, count, seconds
from sensor.exits import MEANING, ConfigError, Exit, HoptapError, UsageError
from sensor.settings import KeySettings, Settings
from sensor.sink_types import FORMATS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["_Parser"]

log = logging.getLogger("hoptap")

LIMIT_MOST = 1_000_000_000  # records; far below what SQLite counts to


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code."""
    logging.basicConfig(handlers=[terminal.stderr_handler()], level=logging.INFO, force=True)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is escaped
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    debug = False
    try:
        given = sys.argv[1:] if arguments is None else arguments
        check_text(given)
        options = _parser().parse_args(given)
        debug = options.debug
        code: Exit = options.call(options)
        return code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:
        if debug:
            log.exception("where it happened")
        return _said(error)


def _said(error: Exception) -> Exit:
    """Each line of an error on standard error; the code to exit with."""
    if isinstance(error, HoptapError):
        for line in error.lines:
            log.error("%s", line)
        return error.code
    if isinstance(error, ImportError):
        log.error("this installation is not whole: %s", error)
    else:
        # Its text could quote traffic, so only its kind is shown.
        log.error("defect: %s; --debug shows where", type(error).__name__)
    return Exit.INTERNAL


class _Parser(argparse.ArgumentParser):
    """One line for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANING.items())
    parser = _Parser(
        prog="hoptap",
        description="Finds out on the wire who really did that, behind delegated accounts.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show where an error happened")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_replay(commands)
    _add_run(commands)
    _add_who(commands)
    _add_check(commands)
    _add_send_test(commands)
    _add_verify(commands)
    _add_correlate(commands)
    _add_small(commands)
    return parser


def _add_replay(commands: "Commands") -> None:
    parser = commands.add_parser("replay", help="capture files to records")
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="pcap or pcapng, plain, gzip or zstd; - is stdin"
    )
    parser.add_argument("--out", default="-", metavar="PATH", help="records; - is standard output")
    formats = ("ndjson", "table", *(each for each in FORMATS if each != "otlp"))
    parser.add_argument(
        "--format", choices=formats, default="ndjson", metavar="NAME", help=", ".join(formats)
    )
    parser.add_argument("--history", default="", metavar="PATH", help="keep records for `who` too")
    parser.add_argument(
        "--hash-key", metavar="FILE", help="key of token hashes; without it or -c, one for this run"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")
    parser.add_argument(
        "--sinks", action="store_true", help="records to the [[sink]]s of the configuration, too"
    )
    _add_config(parser)
    _add_workers(parser)
    _add_keys(parser)
    parser.add_argument(
        "--decrypt", action="store_true", help="open TLS also with the secrets inside a pcapng"
    )
    parser.set_defaults(call=_replay)


def _add_run(commands: "Commands") -> None:
    parser = commands.add_parser("run", help="interfaces to records, until a signal")
    parser.add_argument("-i", "--interface", action="append", metavar="IF", help="may be repeated")
    for option, what in (("--tap", "what goes"), ("--tap-keys", "TLS secrets that go")):
        parser.add_argument(
            option,
            action="append",
            default=[],
            metavar="PROCESS|PID|LIBRARY",
            help=f"read {what} through its TLS library; may be repeated",
        )
    parser.add_argument(
        "--tap-machine-wide", action="store_true", help="needed beside a LIBRARY: all who use it"
    )
    parser.add_argument("--duration", type=seconds, metavar="S", help="stop after S seconds")
    _add_config(parser)
    _add_workers(parser)
    _add_keys(parser)
    parser.set_defaults(call=_run, sinks=True)


def _add_who(commands: "Commands") -> None:
    parser = commands.add_parser("who", help="who did that to a machine, or what a person did")
    parser.add_argument(
        "target", metavar="TARGET", help="machine name, moref or user; * and ? match"
    )
    parser.add_argument("--since", default="", metavar="WHEN", help="2h, 14:00, 2026-11-21, ...")
    parser.add_argument("--until", default="", metavar="WHEN", help="the same")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="the last N records")
    parser.add_argument("--json", action="store_true", help="records as lines of JSON")
    parser.add_argument(
        "--history", default="", metavar="PATH", help="instead of the configured one"
    )
    _add_config(parser)
    parser.set_defaults(call=_who)


def _add_check(commands: "Commands") -> None:
    parser = commands.add_parser("check", help="is everything in place for `run`?")
    parser.add_argument("--probe", action="store_true", help="call the receiver of each [[sink]]")
    parser.add_argument(
        "--accuracy", action="store_true", help="only this: how right is what goes without a key?"
    )
    parser.add_argument("-i", "--interface", action="append", metavar="IF", help="may be repeated")
    _add_config(parser)
    parser.set_defaults(call=_check, sinks=True)


def _add_correlate(commands: "Commands") -> None:
    parser = commands.add_parser("correlate", help="calls that others recorded to their parents")
    parser.add_argument(
        "--spans", required=True, metavar="FILE", help="an object per call; - is stdin"
    )
    parser.add_argument("--inventory", default="", metavar="FILE", help="ids that belong together")
    parser.add_argument("--out", required=True, metavar="FILE", help="the same; - is stdout")
    parser.add_argument(
        "--workers", type=count, default=1, metavar="N", help="processes; the result is the same"
    )
    parser.set_defaults(call=_correlate)


def _add_send_test(commands: "Commands") -> None:
    parser = commands.add_parser("send-test", help="marked records to every [[sink]]")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="to each; default: 1")
    parser.add_argument("--sink", action="append", default=[], metavar="ID", help="may be repeated")
    _add_config(parser)
    parser.set_defaults(call=_send_test, sinks=True)


def _add_verify(commands: "Commands") -> None:
    parser = commands.add_parser("verify", help="is an evidence log as it was written?")
    parser.add_argument("files", nargs="+", metavar="FILE", help="all files of a log, in any order")
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="PUB",
        help="Ed25519 key in PEM that signed the marks; may be repeated",
    )
    parser.add_argument(
        "--tsa-ca", default="", metavar="FILE", help="certificates of the time stamp authority"
    )
    parser.add_argument(
        "--head",
        action="append",
        default=[],
        metavar="SEQ:HASH",
        help="a checkpoint kept elsewhere, as the journal has it; may be repeated",
    )
    parser.add_argument(
        "--part", action="store_true", help="files of the log that came before are elsewhere"
    )
    parser.set_defaults(call=_verify)


def _add_small(commands: "Commands") -> None:
    demo = commands.add_parser("demo", help="replay the capture that comes with hoptap")
    demo.set_defaults(call=_demo)
    version = commands.add_parser("version", help="show the version")
    version.set_defaults(call=_version)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help=f"default: {config.DEFAULT_PATH}, if there",
    )
    # In each command too, so that it may stand anywhere.
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, metavar="N", help="threads that read packets")


def _add_keys(parser: argparse.ArgumentParser) -> None:
    for option, what in (("--keys", "TLS key log"), ("--rsa-key", "private key of a server")):
        parser.add_argument(
            option,
            action="append",
            default=[],
            metavar="FILE",
            help=f"{what}; decrypts, may be repeated",
        )


def _settings(options: argparse.Namespace) -> Settings:
    """Those of the file named, of the file at its usual place, or all defaults."""
    sinks = getattr(options, "sinks", False)  # else who asks need not be able to read their secrets
    if options.config is not None:
        settings = config.load(options.config, sinks=sinks)
    elif config.DEFAULT_PATH.exists():
        settings = config.load(config.DEFAULT_PATH, sinks=sinks)
    else:
        settings = Settings()
    return replace(
        settings,
        capture=overrides.capture_with(vars(options), settings.capture),
        keys=overrides.keys_with(vars(options), settings.keys),
        tap=tap_settings.with_asked(settings.tap, vars(options)),
    )


def _replay(options: argparse.Namespace) -> Exit:
    if options.format == "table" and options.out != "-":
        raise UsageError("--format table goes to standard output only")
    settings = _settings(options)
    if not options.config:  # what this machine captures with is for what it captures
        settings = replace(settings, keys=overrides.keys_with(vars(options), KeySettings()))
    from sensor import replay, report

    if options.hash_key:
        hasher = hashing.file_hasher(Path(options.hash_key))
    elif options.config or options.sinks:
        hasher = hashing.installation_hasher(settings.hash_key_path)
    else:
        hasher = hashing.run_hasher()
    is_table = options.format == "table"
    encode = report.RowWriter(terminal.width()) if is_table else replay.encoder(options.format)
    return replay.replay(
        replay.Options(
            files=tuple(options.files),
            out=options.out,
            encode=encode,
            history=options.history,
            quiet=options.quiet,
            sinks=options.sinks,
        ),
        settings,
        hasher,
    )


def _run(options: argparse.Namespace) -> Exit:
    settings = _settings(options)
    if not settings.capture.interfaces and not settings.tap:
        raise UsageError("no interface: name one with -i, or in capture.interfaces")
    from sensor import live

    return live.run(settings, options.duration)


def _who(options: argparse.Namespace) -> Exit:
    from sensor import who
    from sensor.history import Query

    path = Path(options.history) if options.history else _settings(options).history_path
    now = datetime.now(UTC)
    try:
        since = when.parse(options.since, now) if options.since else None
        until = when.parse(options.until, now, end=True) if options.until else None
    except ValueError as error:
        raise UsageError(str(error)) from None
    if since is not None and until is not None and until < since:
        raise UsageError(f"--until {options.until} is before --since {options.since}")
    if not options.target:
        raise UsageError("TARGET is empty: * is everything")
    if not 1 <= options.limit <= LIMIT_MOST:
        raise UsageError(f"--limit: must be at least 1 and at most {LIMIT_MOST:,}")
    query = Query(options.target, since, until, options.limit)
    return who.who(path, query, as_json=options.json, width=terminal.width())


def _check(options: argparse.Namespace) -> Exit:
    from sensor import checks
    from sensor.finding import Level

    try:
        settings = _settings(options)
    except ConfigError as error:
        terminal.say(f"{Level.PROBLEM:8} configuration: {line}" for line in error.lines)
        return Exit.NO
    if options.accuracy:
        found = list(checks.accuracy(settings))
    else:
        found = list(checks.findings(settings, probe=options.probe))
    terminal.say(f"{each.level:8} {each.subject}: {each.text}" for each in found)
    return Exit.NO if any(each.level is Level.PROBLEM for each in found) else Exit.OK


def _send_test(options: argparse.Namespace) -> Exit:
    from sensor import sendtest

    return sendtest.send_test(_settings(options), options.sink, options.count)


def _verify(options: argparse.Namespace) -> Exit:
    from sensor import verify

    return verify.verify(
        verify.Options(
            files=tuple(options.files),
            keys=tuple(options.key),
            tsa_ca=options.tsa_ca,
            heads=tuple(map(verify.parse_head, options.head)),
            part=options.part,
        )
    )


def _correlate(options: argparse.Namespace) -> Exit:
    from sensor import correlation

    return correlation.correlate(options.spans, options.inventory, options.out, options.workers)


def _demo(options: argparse.Namespace) -> Exit:
    from sensor import demonstration

    return demonstration.show(terminal.width())


def _version(options: argparse.Namespace) -> Exit:
    from sensor.version import version

    terminal.say([f"hoptap {version()}"])
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
