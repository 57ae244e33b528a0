"""What the audit log of a day weighs, and what it costs a read.

The day: 60 accounts and 20 callers who each read every account's token once a minute or more often, 24
refreshes an hour, one refused request a minute; in one process, in the time of a fake clock.

The cost: the same reads with the logger on and off, next to each other in time; of `Audit.read` alone and of
the middleware's hot path. What is written at each minute's end is a third figure: it is no part of a read.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import statistics
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import httpx

from wxtoken_asgi.audit import LOGGER, Audit
from wxtoken_asgi.callers import Caller
from wxtoken_asgi.clock import Clock

from support.world import World

MINUTES = 24 * 60
MIDNIGHT = 1_790_035_200.0
REFRESHES_AN_HOUR = 24

ACCOUNTS = [f"account-{number:02}" for number in range(60)]
CALLERS = [
    Caller(f"program-{number:02}", f"{number:02}3456789abc", f"10.1.0.{number + 1}") for number in range(20)
]


class FakeClock(Clock):
    now = MIDNIGHT

    def time(self) -> float:
        return self.now


class Scales(logging.Handler):
    """Weighs what would be written, one line a record."""

    def __init__(self) -> None:
        super().__init__()
        self.records = self.bytes = self.packed = 0
        self._pack = zlib.compressobj(wbits=31)

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode()
        self.records += 1
        self.bytes += len(line)
        self.packed += len(self._pack.compress(line))


@contextmanager
def listening(handler: logging.Handler, level: int = logging.INFO) -> Iterator[logging.Logger]:
    """The audit log's logger, with this handler alone."""
    logger = logging.getLogger(LOGGER)
    before = logger.level, logger.propagate
    logger.setLevel(level)
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = before[1]
    logger.setLevel(before[0])


def a_minute(audit: Audit, minute: int) -> None:
    for caller in CALLERS:
        for account in ACCOUNTS:
            audit.read(caller, account, "access_token")
    if minute * REFRESHES_AN_HOUR % 60 < REFRESHES_AN_HOUR:
        app = ACCOUNTS[minute % len(ACCOUNTS)]
        who = CALLERS[minute % len(CALLERS)]
        audit.tell("report", who, account=app, kind="access_token", result="ok", status=200, request_id="r-1")
    stranger = Caller(address="203.0.113.9")
    audit.tell(
        "refused", stranger, account=ACCOUNTS[0], kind="access_token", result="not_allowed", status=403
    )


def a_day(minutes: int) -> None:
    """Print what a day weighs, and how long the writing of a minute takes; measured over `minutes` of it."""
    scales, clock, writing = Scales(), FakeClock(), []
    with listening(scales):
        audit = Audit(clock)
        for minute in range(minutes):
            a_minute(audit, minute)
            clock.now += 60
            begun = time.perf_counter()
            audit.flush()
            writing.append((time.perf_counter() - begun) * 1e3)
    days = MINUTES / minutes
    print(
        f"a day: {scales.records * days:,.0f} records, {scales.bytes * days / 1e6:.1f} MB "
        f"({scales.bytes / scales.records:.0f} bytes a record), with gzip {scales.packed * days / 1e6:.1f} MB"
    )
    print(
        f"a minute's end: {scales.records / minutes:.0f} records are written in "
        f"{statistics.median(writing):.1f} ms, gzip included"
    )


def compare(what: str, pairs: list[tuple[float, float]]) -> None:
    """Print the medians of (on, off) pairs, in microseconds, and what the log adds."""
    on, off = (statistics.median(column) for column in zip(*pairs, strict=True))
    extra = [one - other for one, other in pairs]
    quarters = statistics.quantiles(extra, n=4)
    print(
        f"{what}: on {on:.2f} µs, off {off:.2f} µs, ratio {on / off:.2f}, "
        f"the log adds {statistics.median(extra):.2f} µs "
        f"(quartiles {quarters[0]:.2f}-{quarters[2]:.2f}), {len(pairs)} rounds"
    )


def reads_us(audit: Audit, calls: int) -> float:
    caller, account = CALLERS[0], ACCOUNTS[0]
    begun = time.perf_counter()
    for _ in range(calls):
        audit.read(caller, account, "access_token")
    return (time.perf_counter() - begun) / calls * 1e6


def alone(rounds: int, calls: int) -> None:
    """`Audit.read`, called from a loop."""
    with listening(Scales()) as logger:
        on, off = Audit(Clock()), Audit(Clock(), logger.getChild("off"))
        off.on = False
        for audit in (on, off):
            reads_us(audit, calls)
        pairs = []
        for turn in range(rounds):
            found = {audit: reads_us(audit, calls) for audit in ((on, off) if turn % 2 else (off, on))}
            pairs.append((found[on], found[off]))
    compare("Audit.read alone", pairs)


async def through_the_middleware(rounds: int, calls: int) -> None:
    """The hot path of two middlewares, of which one has the log on."""
    # Here, so that the rest can be measured without it.
    from wxtoken_asgi import TokenManager

    from benchmarks.in_process import per_call_us

    world = World()
    world.clock = Clock()
    transport = httpx.ASGITransport(world.sandbox)
    path, pairs, scales = "/wx/token/alpha", [], Scales()
    with listening(scales):
        async with TokenManager([world.account("alpha")], store="memory:", transport=transport) as tokens:
            on, audits_on = await furnished(tokens, path, on=True)
            off, audits_off = await furnished(tokens, path, on=False)
            for turn in range(rounds + 1):
                found = {}
                for app in (on, off) if turn % 2 else (off, on):
                    found[app] = await per_call_us(app, path, calls)
                pairs.append((found[on], found[off]))
        for audit in (*audits_on, *audits_off):
            audit.flush()
    if scales.records:
        compare("the middleware's hot path", pairs[1:])
    else:
        print("the middleware's hot path: nothing of it was told to an audit log")


async def furnished(tokens, path: str, *, on: bool):
    """A middleware whose answer is ready, and the audit logs that it made, which stay on or off."""
    from wxtoken_asgi import WxTokenMiddleware

    from benchmarks.in_process import receive, scope, send

    before = {id(found) for found in _audits()}
    app = WxTokenMiddleware(tokens=tokens, prefix="/wx")
    await app(scope(path), receive, send)
    made = [found for found in _audits() if id(found) not in before]
    for audit in made:
        audit.on = on
    return app, made


def _audits() -> list[Audit]:
    """All there are: how a middleware holds its own is no concern of this."""
    return [found for found in gc.get_objects() if isinstance(found, Audit)]


def at_least(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number, so many or more."""

    def read(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"it must be {least} or more, not {text}")
        return int(text)

    read.__name__ = "whole number"
    return read


def run(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=at_least(1), default=120, help="of the day; the rest is reckoned")
    parser.add_argument("--rounds", type=at_least(2), default=30, help="2 or more: quartiles are told")
    parser.add_argument("--calls", type=at_least(1), default=20000)
    options = parser.parse_args(argv)
    a_day(options.minutes)
    alone(options.rounds, options.calls)
    asyncio.run(through_the_middleware(options.rounds, options.calls))


if __name__ == "__main__":
    run()
