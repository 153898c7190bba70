"""`python -m exchange`: run the simulated venue until SIGINT or SIGTERM."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from exchange.config import MAX_INSTRUMENTS, Config, ConfigError
from exchange.recording import RecordingError
from exchange.scenario import ScenarioError
from exchange.server import Exchange

EXIT_BAD_INPUT = 2
MAX_PORT = 65_535


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(_config(options), options.port_file))
    except (ConfigError, RecordingError, ScenarioError) as error:
        print(f"exchange: {error}", file=sys.stderr)
    except OSError as error:
        print(f"exchange: {error}", file=sys.stderr)
    return EXIT_BAD_INPUT


async def _run(config: Config, port_file: Path | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Exchange(config) as exchange:
        if port_file is not None:
            _write_whole(port_file, f"{exchange.port}\n")
        print(f"exchange ready {exchange.url} SIMULATED", flush=True)
        if config.recording is None and config.tick_ms != 100:
            print(
                f"exchange: {config.rate:g} notifications/s over {config.instruments} instruments "
                f"need 100ms channels that tick every {config.tick_ms} ms",
                file=sys.stderr,
            )
        stopped = asyncio.create_task(stop.wait())
        failed = asyncio.create_task(exchange.run())
        await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if failed.done():
            failed.result()  # a venue never ends but by an error
        failed.cancel()
    return 0


def _config(options: argparse.Namespace) -> Config:
    client_id, colon, secret = options.credentials.partition(":")
    if not (client_id and colon and secret):
        raise ConfigError("--credentials has the form id:secret")
    return Config(
        host=options.host,
        port=options.port,
        seed=options.seed,
        instruments=options.instruments,
        rate=options.rate,
        speed=options.speed,
        recording=options.recording,
        hold=options.hold,
        truth=options.truth,
        client_id=client_id,
        client_secret=secret,
        control=options.control,
        heartbeat_scale=options.heartbeat_scale,
        conflation_ms=options.conflation_ms,
        scenario=options.scenario,
        token_lifetime_s=options.token_lifetime,
        max_connections=options.max_connections,
        limits=not options.no_limits,
        open_raw=options.open_raw,
        testnet=options.testnet,
        start_ms=options.start_ms,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m exchange",
        description="A simulated Deribit: order-flow model or recording behind the real protocol.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=_port, default=0, help="port to listen on; 0 takes a free one (%(default)s)")
    add("--seed", type=int, default=7, help="of the order flow (%(default)s)")
    add("--instruments", type=int, default=14, metavar="N", help=f"1 to {MAX_INSTRUMENTS} (14)")
    add("--rate", type=float, default=60.0, help="notifications/s of all 100ms books (60)")
    add(
        "--conflation-ms", type=int, metavar="MS", help="tick of the 100ms channels (fits the rate)"
    )
    add("--start-ms", type=int, metavar="MS", help="venue time at the start (now)")
    add("--recording", type=Path, metavar="FILE", help="play this instead of the model")
    add("--speed", type=_speed, default=1.0, help="1, N times, or max (%(default)s)")
    add(
        "--hold",
        nargs="?",
        choices=("no", "first", "all"),
        const="first",
        default="no",
        help="play when the first book, or all that was recorded, is followed",
    )
    add("--truth", type=Path, metavar="FILE", help="append all book changes and trades to this log")
    add("--port-file", type=Path, metavar="FILE", help="write the port there when ready")
    add("--credentials", default="demo:demo-secret", help="id:secret (%(default)s)")
    add("--token-lifetime", type=float, default=900.0, metavar="S", help="of a login (%(default)s)")
    add("--testnet", action="store_true", help='say "testnet": true in every answer')
    add("--max-connections", type=int, default=32, metavar="N", help="more get 429 (%(default)s)")
    add("--no-limits", action="store_true", help="let calls cost no credits")
    add("--open-raw", action="store_true", help="give raw channels to those without a key, too")
    add("--scenario", type=Path, metavar="FILE", help="faults to make, and when (README.md)")
    add("--heartbeat-scale", type=float, default=1.0, metavar="X", help="below 1 for fast tests")
    add("--control", action="store_true", help="accept simulator/… requests")
    return parser


def _port(text: str) -> int:
    if not 0 <= (port := int(text)) <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"a port is 0 to {MAX_PORT}, not {text}")
    return port


def _speed(text: str) -> float:
    return float("inf") if text == "max" else float(text)


def _write_whole(path: Path, text: str) -> None:
    """Readers see the whole file or none."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    os.replace(part, path)


if __name__ == "__main__":
    sys.exit(main())
