"""What was written by others is there unchanged, with its licence and its version."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = {
    "uPlot": ROOT / "dashboard" / "vendor" / "uplot",
    "axe-core": ROOT / "tests" / "system" / "browser" / "axe",
}
OURS = {"SHA256SUMS", "ORIGIN.md"}


def test_no_folder_is_forgotten() -> None:
    vendored = {path for path in (ROOT / "dashboard" / "vendor").iterdir() if path.is_dir()}
    assert vendored <= set(FOLDERS.values())


@pytest.mark.parametrize("name", FOLDERS)
def test_every_file_has_its_hash(name: str) -> None:
    folder = FOLDERS[name]
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    expected = {file: digest for digest, file in (line.split("  ") for line in lines)}
    assert expected.keys() == {path.name for path in folder.iterdir()} - OURS
    assert "LICENSE" in expected
    for file, digest in expected.items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest, file


@pytest.mark.parametrize("name", FOLDERS)
def test_the_origin_names_the_version_that_the_file_names(name: str) -> None:
    folder = FOLDERS[name]
    words = (folder / "ORIGIN.md").read_text().split()
    assert words[0] == name
    version = words[1].strip(",")
    heads = [path.read_text()[:400] for path in folder.glob("*.js")]
    assert all(version in head for head in heads)
