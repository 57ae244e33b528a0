"""Reads the Markdown pages: blocks of code, headings, links, tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = (
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted(DOCS.rglob("*.md")),
)
TWINS: Final = (
    (ROOT / "README.md", ROOT / "README.zh-CN.md"),
    *((DOCS / page.name, page) for page in sorted((DOCS / "zh").glob("*.md"))),
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) +(.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NO_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    lang: str
    text: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    """The page's path below the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *langs: str) -> list[Block]:
    """The page's fenced blocks, of these languages or of all."""
    text = page.read_text(encoding="utf-8")
    found = (
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in _FENCE.finditer(text)
    )
    return [block for block in found if not langs or block.lang in langs]


def all_blocks(*langs: str) -> list[Block]:
    """The blocks of all pages."""
    return [block for page in PAGES for block in blocks(page, *langs)]


def prose(page: Path) -> str:
    """The page without its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def headings(page: Path) -> list[tuple[int, str]]:
    """Level and text of each heading."""
    return [(len(match[1]), match[2]) for match in _HEADING.finditer(prose(page))]


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`, as GitHub makes it of the headings."""
    return {_NO_ANCHOR.sub("", text.lower()).replace(" ", "-") for _, text in headings(page)}


def links(page: Path) -> list[str]:
    """The targets of the page's links."""
    return _LINK.findall(prose(page))


def table(page: Path, first: str) -> list[list[str]]:
    """The rows of the table whose first header cell is `first`; a cell's `\\|` is a `|`."""
    rows: list[list[str]] = []
    inside = False
    for line in prose(page).splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if inside and not cells:
            break
        if inside and not set("".join(cells)) <= set("-: "):
            rows.append(cells)
        inside = inside or bool(cells and cells[0] == first)
    return rows
