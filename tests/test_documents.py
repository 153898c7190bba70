"""The documents: lines that a terminal shows whole, links that lead somewhere, paths that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_CHARS = 119
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]*)\)")
CODE = re.compile(r"`([^`\n]+)`")
OF_OURS = (
    "app|agents|bench|dashboard|deribit|docker|docs|exchange|faust_exact|models|orderbook|tests"
)
FOLDER = re.compile(rf"(?:{OF_OURS})/[\w./-]*")
FILE = re.compile(r"[\w./-]+\.(?:py|md|js|toml|lock)")
OF_DOCS = ("bench/page.md", "tests/api/push/load_head.md", "tests/system/chaos/guarantees_head.md")
"""What documents in docs/ are made of."""


def files() -> list[str]:
    """Return the files that are ours, from the project's folder."""
    folders = [ROOT / name for name in OF_OURS.split("|")]
    found = [*ROOT.glob("*.*"), *(path for folder in folders for path in folder.rglob("*"))]
    skipped = {"vendor", "__pycache__"}
    return sorted(str(p.relative_to(ROOT)) for p in found if not skipped & set(p.parts))


FILES = files()
DOCUMENTS = [name for name in FILES if name.endswith(".md")]


def prose(path: Path) -> str:
    """Return a document without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(path), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def broken_links(path: Path) -> list[str]:
    """Return the relative links of a document that lead nowhere."""
    broken = []
    is_of_docs = str(path.relative_to(ROOT)) in OF_DOCS if path.is_relative_to(ROOT) else False
    folder = ROOT / "docs" if is_of_docs else path.parent
    for target in LINK.findall(prose(path)):
        name, _, anchor = target.partition("#")
        file = (folder / name).resolve() if name else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    return broken


def missing_paths(path: Path) -> list[str]:
    """Return the files and folders of ours that a document names and that are not there.

    A file may be named from any folder: `fast/eager.py`.
    """
    named = [code.split("::")[0] for code in CODE.findall(prose(path))]
    wanted = [name for name in named if FILE.fullmatch(name) or FOLDER.fullmatch(name)]
    return [name for name in wanted if not (ROOT / name).exists() and not _is_end_of_a_file(name)]


def _is_end_of_a_file(name: str) -> bool:
    return any(file == name or file.endswith(f"/{name}") for file in FILES)


def long_lines(path: Path) -> list[str]:
    """Return what is longer than a line may be, tables excepted, whose rows cannot be broken."""
    return [
        f"{path.name}:{number}: {len(line)} characters"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > MOST_CHARS and not line.lstrip().startswith("|")
    ]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_is_whole(document: str) -> None:
    path = ROOT / document
    assert long_lines(path) == []
    assert broken_links(path) == []
    assert missing_paths(path) == []


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    text = "# A head: of it\n\n[a](#a-head-of-it) [b](#b) [c](no.md) `no.py` `app/no/` `app/cli/`\n"
    document = tmp_path / "a.md"
    document.write_text(f"{text}{'x ' * 60}\n| {'x ' * 60} |\n```\n[d](no.md)\n```\n")
    assert long_lines(document) == ["a.md:4: 120 characters"]
    assert broken_links(document) == ["#b", "no.md"]
    assert missing_paths(document) == ["no.py", "app/no/"]
