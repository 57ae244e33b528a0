"""Files of keys, and how a new key takes the place of those before it."""

from __future__ import annotations

import pytest

from wxtoken_asgi.config.keyfile import rotated, written_keys
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import Key

NOW, HOUR_S = 1_800_000_000.0, 3600.0  # 2027-01-15T08:00:00Z
A, B, NEW = (Key.of(f"wxk_not-to-be-shown-{name}") for name in ("a", "b", "new"))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", []),
        ("\n\n", []),
        ("# nothing", []),
        (f"{A.line}", [A.line]),
        (f"{A.line}\r\n# x\r\n {B.line} until 2027-01-31 # Ann\r\n", [A.line, f"{B.line} until 2027-01-31"]),
        (f"# form\x0cfeed, line\u2028separator\n{A.line}\n", [A.line]),
    ],
)
def test_a_file_has_a_key_a_line_comments_and_empty_lines(text, keys):
    assert written_keys(text) == keys


@pytest.mark.parametrize(
    ("text", "line"), [("wxk_not-to-be-shown", 1), (f"{A.line}\n\n{A.line} {B.line}", 3), ("x # y", 1)]
)
def test_a_wrong_line_is_named_by_its_number_and_not_repeated(text, line):
    with pytest.raises(ConfigError, match=f"^line {line}: a key must be a line that") as caught:
        rotated(text, NEW, NOW, HOUR_S)
    assert "not-to-be-shown" not in str(caught.value)


def until(key, text):
    return f"{key.line} until {text}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        (A.line, f"{until(A, '2027-01-15T09:00:00Z')}\n"),
        (f"{until(A, '2027-02-01')} # Ann\r\n", f"{until(A, '2027-01-15T09:00:00Z')} # Ann\n"),
        (f"{until(A, '2027-01-15T08:30:00+00:00')}\n", f"{until(A, '2027-01-15T08:30:00+00:00')}\n"),
        (f"{until(A, '2027-01-15T08:00:00Z')}\n{B.line}\n", f"{until(B, '2027-01-15T09:00:00Z')}\n"),
        (f"{until(A, '1970-01-01')} # Ann\n", ""),
        (f"{until(A, '0001-01-01')}\n", ""),
        (f"{until(A, '9999-12-31T23:59:59Z')}\n", f"{until(A, '2027-01-15T09:00:00Z')}\n"),
        ("# of the shop\n\n", "# of the shop\n\n"),
    ],
)
def test_those_before_a_new_key_end_after_the_overlap_at_the_latest(before, after):
    assert rotated(before, NEW, NOW, HOUR_S) == f"{after}{NEW.line}\n"


def test_without_an_overlap_those_before_are_gone_at_once():
    assert rotated(f"{A.line}\n# b\n{until(B, '2027-02-01')}\n", NEW, NOW, 0) == f"# b\n{NEW.line}\n"


def test_a_second_rotation_lets_nobody_live_longer():
    once = rotated(A.line, B, NOW, HOUR_S)
    twice = rotated(once, NEW, NOW + HOUR_S / 2, HOUR_S)
    assert written_keys(twice) == [
        until(A, "2027-01-15T09:00:00Z"),
        until(B, "2027-01-15T09:30:00Z"),
        NEW.line,
    ]
