"""Values that programs meet seldom, drawn by chance."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from random import Random
from typing import Any, Final, TypeVar

T = TypeVar("T")

LAST_DRAW: Final = 1 - 2**-53

NUMBERS: Final = (
    0,
    -0.0,
    1,
    -1,
    0.5,
    1e-9,
    5e-324,
    7200,
    86_400,
    86_401,
    2**31,
    2**53 + 1,
    2**63,
    -(2**63) - 1,
)
HUGE: Final = (10**4000, -(10**300), 1.7e308, float("inf"), float("-inf"), float("nan"))

CHARACTERS: Final = (
    *"aZ09_-. /\\%\"'{}[]()<>=&?#;:,|@*+~$!^`",
    *"\0\t\n\r\x0b\x1b\x7f\x85\xa0",
    "\u00e4",
    "\u4e2d",
    "\u0660",
    "\u2028",
    "\u202e",
    "\u3002",
    "\ufeff",
    "\uff0f",
    "\U0001f600",
)
SURROGATES: Final = ("\ud800", "\udcff")


def often(rng: Random, share: float) -> bool:
    """True in this share of all draws."""
    return rng.random() < share


def some(rng: Random, values: Sequence[T], most: int) -> list[T]:
    """Up to so many of them, with repetitions."""
    return [rng.choice(values) for _ in range(rng.randint(0, most))]


def blob(rng: Random, most: int = 40) -> bytes:
    """Any bytes."""
    return rng.randbytes(rng.randint(0, most))


def spiced(rng: Random, fragments: Sequence[bytes], most: int = 12) -> bytes:
    """Fragments in any order, sometimes with bytes between them, or a great many of them."""
    parts = some(rng, fragments, most)
    if parts and often(rng, 0.2):
        parts.insert(rng.randint(0, len(parts)), blob(rng, 6))
    if parts and often(rng, 0.02):
        parts.append(rng.choice(parts) * rng.choice((65, 300, 5000)))
    return b"".join(parts)


def text(rng: Random, most: int = 20, *, surrogates: bool = False) -> str:
    """Any text, mostly of characters that mean something somewhere."""
    known = CHARACTERS + SURROGATES if surrogates else CHARACTERS
    if often(rng, 0.03):
        return rng.choice(known) * rng.choice((64, 65, 5000))
    return "".join(some(rng, known, most))


def bent(rng: Random, good: bytes) -> bytes:
    """Something good with a few bytes left out, put in, doubled or exchanged."""
    body = bytearray(good)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(body))
        match rng.randint(0, 3):
            case 0:
                del body[at : at + rng.randint(1, 8)]
            case 1:
                body[at:at] = blob(rng, 4)
            case 2:
                body[at:at] = body[at : at + rng.randint(1, 8)]
            case _:
                body[at : at + 1] = blob(rng, 1)
    return bytes(body)


def seconds(rng: Random, low: float, high: float, edges: Sequence[float]) -> float:
    """A duration in these bounds: near an edge, anywhere, or of any magnitude."""
    match rng.randint(0, 3):
        case 0:
            drawn = float(rng.choice(edges))
        case 1:
            drawn = math.nextafter(rng.choice(edges), rng.choice((-math.inf, math.inf)))
        case 2:
            drawn = low + (high - low) * rng.random()
        case _:
            drawn = rng.choice((1, -1)) * 10 ** (rng.random() * 16 - 8)
    return min(max(drawn, low), high)


def draw(rng: Random) -> float:
    """What `Clock.random.random()` may give, its bounds among them."""
    return rng.choice((0.0, LAST_DRAW)) if often(rng, 0.2) else rng.random() * LAST_DRAW


def json_value(rng: Random, depth: int = 3) -> Any:
    """Anything that JSON has, and Python's parser takes."""
    if depth and often(rng, 0.15):
        return [json_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    if depth and often(rng, 0.15):
        return {text(rng, 4): json_value(rng, depth - 1) for _ in range(rng.randint(0, 3))}
    if often(rng, 0.3):
        return text(rng)
    return rng.choice(
        (None, True, False, rng.choice(NUMBERS), rng.choice(HUGE), rng.randint(-100_000, 100_000))
    )


def json_text(value: Any) -> bytes:
    """As JSON, numbers that JSON has not included."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
