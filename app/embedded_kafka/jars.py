"""The broker's jars: named with their SHA-256 in `jars.lock`, fetched once into `.venv/maven`.

M2_REPO names another folder, so that a machine without a network can be given the files by hand;
what the cache of Maven itself has (`~/.m2/repository`) is read there and not fetched. A jar is
moved to its place only whole and verified: an interrupted download leaves nothing that a later
start would trust. jgo, which downloads them, has a lock file that does not do this:
docs/decisions/0018-supervision-and-jars.md.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.embedded_kafka.errors import JarsUnavailable

KAFKA_VERSION: Final = "4.3.0"
ENDPOINTS: Final = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",  # without it the broker logs nothing
)
MAVENS_OWN: Final = Path(os.path.expanduser("~/.m2/repository"))
LOCK_FILE: Final = Path(__file__).with_name("jars.lock")
DOWNLOADS_AT_ONCE: Final = 4
DOWNLOAD_ATTEMPTS: Final = 3
JARS_PER_LINE: Final = 10
"""Of progress."""
REQUEST_TIMEOUT_S: Final = 20
WITHOUT_BROKER: Final = """\
Connect to the network for the first start (about 45 MB, once), or copy that folder from a machine
that has it (M2_REPO names another folder), or set STEELYARD_KAFKA=host:port to use a Kafka of your
own."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def relative_path(self) -> Path:
        """Return where a Maven repository keeps it."""
        folder = Path(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"


def classpath(start: Path) -> str:
    """Return the broker's class path as of a folder, after downloading what the cache lacks.

    As of a folder, because a path from the root may have a colon in it, which divides class paths.
    """
    jars = fetched(read_lock(), "the embedded broker", WITHOUT_BROKER)
    return os.pathsep.join(os.path.relpath(jar, start.resolve()) for jar in jars)


def fetched(jars: Sequence[Jar], whose: str, way_out: str) -> list[Path]:
    """Return the files of jars, whole and verified, after downloading what the cache lacks.

    Raises JarsUnavailable, which says whose jars they are and what to do without them.
    """
    cache = maven_cache()
    places = [cache] if os.environ.get("M2_REPO") else [cache, MAVENS_OWN]
    found = {jar: _found(jar, places) for jar in jars}
    if missing := [jar for jar, file in found.items() if file is None]:
        try:
            _download(missing, cache)
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors, jgo's the other
            raise JarsUnavailable(
                f"{len(missing)} of {whose}'s {len(jars)} jars are not in {cache} "
                f"and could not be downloaded.\n  {type(error).__name__}: {error}\n{way_out}"
            ) from error
    return [found[jar] or cache / jar.relative_path for jar in jars]


def maven_cache() -> Path:
    """Return the folder that jars are downloaded to."""
    given = os.environ.get("M2_REPO")
    return Path(given).absolute() if given else Path(sys.prefix) / "maven"


def _found(jar: Jar, places: Sequence[Path]) -> Path | None:
    files = (place / jar.relative_path for place in places)
    return next((file for file in files if _is_whole(file, jar)), None)


def read_lock(text: str | None = None) -> tuple[Jar, ...]:
    """Return the jars of the lock file, in class path order."""
    lines = (LOCK_FILE.read_text() if text is None else text).splitlines()
    jars = []
    for line in lines:
        if line and not line.startswith("#"):
            sha256, coordinate = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, sha256))
    return tuple(jars)


def write_lock(lock: Path = LOCK_FILE, endpoints: Sequence[str] = ENDPOINTS) -> int:
    """Resolve the broker's dependencies anew, write the lock file, and return how many jars."""
    context = _context(maven_cache())
    found: dict[tuple[str, str], Any] = {}
    for endpoint in endpoints:  # one by one: together, the one's managed versions bend the other's
        inputs, transitive = context.resolver.resolve([context.create_dependency(endpoint)])
        for dependency in (*inputs, *transitive):
            found.setdefault((dependency.groupId, dependency.artifactId), dependency.artifact)
    lines = {
        f"{a.groupId}:{a.artifactId}:{a.version}": _sha256(a.resolve()) for a in found.values()
    }
    head = f"# Jars of {' and '.join(endpoints)}: SHA-256 and coordinate. Made by `make lock`.\n"
    lock.write_text(head + "".join(f"{sha} {name}\n" for name, sha in sorted(lines.items())))
    return len(lines)


def _download(jars: Sequence[Jar], cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    _say(f"Kafka {KAFKA_VERSION}: {len(jars)} jars, once, into {cache}")
    with (
        tempfile.TemporaryDirectory(prefix=".steelyard-", dir=cache) as folder,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        results = [pool.submit(_fetch, jar, Path(folder), cache) for jar in jars]
        try:
            for done, result in enumerate(results, 1):
                result.result()
                if done % JARS_PER_LINE == 0 or done == len(jars):
                    _say(f"  {done} of {len(jars)} jars")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _fetch(jar: Jar, folder: Path, cache: Path) -> None:
    context = _context(folder)
    project = context.project(jar.group, jar.artifact)
    wanted = folder / jar.relative_path
    for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
        wanted.unlink(missing_ok=True)
        try:
            project.at_version(jar.version).artifact().resolve()
        except OSError:
            if attempt == DOWNLOAD_ATTEMPTS:
                raise
            continue
        if _is_whole(wanted, jar):
            target = cache / jar.relative_path
            target.parent.mkdir(parents=True, exist_ok=True)
            wanted.replace(target)
            return
    raise RuntimeError(
        f"{jar.relative_path.name} does not have the SHA-256 of {LOCK_FILE.name} ({jar.sha256})"
    )


def _context(cache: Path) -> Any:
    from jgo.maven import MavenContext  # here: half a second that a cached start does not need

    return MavenContext(repo_cache=cache, timeout=REQUEST_TIMEOUT_S)


def _is_whole(path: Path, jar: Jar) -> bool:
    return path.is_file() and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
