"""A file's own time: it goes on evenly whatever the wall clock does, and over a reboot.

Within one boot it is the boot-time clock, which all processes of a host share and nobody can set, plus an
offset that the file keeps. A boot-time clock begins anew with each boot, so the offset belongs to one boot,
known by its id. After a reboot only the wall clock can tell how long the machine was off, and may be wrong:

- It is ahead of what the file saw last: store time goes on by as much as it has advanced.
- It is behind, so it says nothing about how long the machine was off (no battery; set back since): store
  time goes on from where it was, as if no time had passed, which keeps budgets and back-offs at their
  strictest. Values may have ended meanwhile, so each is taken as ended; asking WeChat again costs little,
  while a dead value handed out is what this package exists to prevent.

A machine without a battery that starts with its last known time is believed: the wall clock is looked at
once for each boot. Containers with time namespaces of their own must not share a file: their boot-time clocks
differ under one boot id.

Where there is no boot id (not Linux) store time follows the wall clock, steps included.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from wxtoken_asgi.clock import Clock

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Anchor(NamedTuple):
    """What ties a file's time to the machine's clocks.

    Args:
        boot: the boot's id; empty: there is none.
        ahead: what is added to that boot's clock, in seconds.
        seen: store time when the file was last written.
        wall: the wall clock at that moment.
    """

    boot: str
    ahead: float
    seen: float
    wall: float

    def now(self, clock: Clock) -> float:
        """Store time, in seconds."""
        return _base(self.boot, clock) + self.ahead


def boot_id() -> str:
    """The id of this boot; empty where the system gives none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def begun(boot: str, clock: Clock) -> Anchor:
    """The anchor of a new file. Store time begins as the wall clock's, so that people can read it."""
    return _anchor(boot, clock.time(), clock)


def rebooted(last: Anchor, boot: str, clock: Clock) -> tuple[Anchor, bool]:
    """The anchor of a file that was last written during another boot.

    Returns:
        The anchor, and whether nobody knows how much time has passed: then values are to be taken as ended.
    """
    away_s = clock.time() - last.wall
    return _anchor(boot, last.seen + max(away_s, 0.0), clock), away_s < 0


def _anchor(boot: str, now: float, clock: Clock) -> Anchor:
    return Anchor(boot, now - _base(boot, clock), now, clock.time())


def _base(boot: str, clock: Clock) -> float:
    return clock.monotonic() if boot else clock.time()
