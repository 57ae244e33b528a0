"""Tickets: the same for everyone who asks, changing on a schedule that no answer tells."""

from __future__ import annotations

import hashlib
import math
import random

from wxtoken_asgi.sandbox.tokens import ALPHABET

SLOT = 7200  # seconds that one ticket is answered
KEPT = 10_800  # seconds that it is accepted, from the start of its slot

TYPES = ("jsapi", "wx_card")


class Tickets:
    """One account's tickets of one type.

    That a ticket repeats, whichever token asks and always with 7200, that it changes on two-hour boundaries
    and is accepted about 3 h after its first issue is in no document; it comes from many reports.

    Args:
        since: a boundary of the schedule, in seconds of sandbox time.
        rng: where the characters come from.
    """

    def __init__(self, since: float, rng: random.Random) -> None:
        self._since = since
        self._rng = rng
        self._values: dict[int, str] = {}

    def current(self, now: float) -> str:
        """The ticket that is answered at `now`."""
        slot = math.floor((now - self._since) / SLOT)
        if slot not in self._values:
            self._values = {old: value for old, value in self._values.items() if old == slot - 1}
            self._values[slot] = "".join(self._rng.choices(ALPHABET, k=86))
        return self._values[slot]

    def accepted(self, now: float) -> list[str]:
        """All tickets with which a page's signature would be good at `now`."""
        begun = [(self._since + slot * SLOT, value) for slot, value in list(self._values.items())]
        return [value for start, value in begun if now < start + KEPT]


def signature(ticket: str, *, url: str, noncestr: str, timestamp: str) -> str:
    """The signature of `wx.config`.

    Source: the JS-SDK document, appendix 1.

    Args:
        ticket: the jsapi ticket.
        url: the page's address up to `#`.
        noncestr: the nonce.
        timestamp: seconds since 1970, in digits.
    """
    signed = f"jsapi_ticket={ticket}&noncestr={noncestr}&timestamp={timestamp}&url={url}"
    return hashlib.sha1(signed.encode(), usedforsecurity=False).hexdigest()
