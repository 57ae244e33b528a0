"""Each threat of the table names tests, and they are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest
from docs_pages import DOCS, ROOT, prose

from wxtoken_asgi import access, audit, bodies, door, keys, waiter, weixin

PAGE = DOCS / "threats.md"
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> Iterator[list[str]]:
    """The rows of all tables of the page."""
    for line in prose(PAGE).splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0] != "threat" and not set(cells[0]) <= set("-"):
            yield cells


@cache
def names_in(path: str) -> frozenset[str]:
    """The functions that stand in a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_there_are_many_threats_and_each_stands_once():
    threats = [row[0] for row in rows()]
    assert len(threats) >= 30
    assert len(set(threats)) == len(threats)


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row[0])
def test_each_threat_has_somebody_a_protection_and_tests_that_exist(row):
    assert len(row) == 4
    assert all(row)
    named = _TEST.findall(row[3])
    assert not _TEST.sub("", row[3]).strip(), "only tests stand in the last column"
    assert named
    for path, test in named:
        assert test in names_in(path), f"{path}::{test}"


def test_the_numbers_of_the_pages_are_the_codes():
    assert (keys.RANDOM_BYTES * 8, access.MOST_WRONG_KEYS, access.WRONG_KEYS_S) == (256, 20, 60)
    assert (bodies.LARGEST_BODY, door.LONGEST_QUERY, access.MOST_HEADERS) == (4096, 16 * 1024, 200)
    assert (waiter.MOST_WAITING, bodies.BODY_WAIT_S, weixin.LARGEST_ANSWER) == (10_000, 5, 64 * 1024)
    assert audit.SINGLY == 20
