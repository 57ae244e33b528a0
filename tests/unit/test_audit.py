"""Audit records: what they say, what is folded, and when it is written."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import anyio
import pytest

from wxtoken_asgi import audit as module
from wxtoken_asgi.audit import Audit, request_id
from wxtoken_asgi.callers import Caller
from wxtoken_asgi.clock import Clock

from benchmarks import audit as benchmark
from support.virtual import VirtualClock, virtual_backend

MINUTE = 1_790_000_040.0
"""The first second of a minute, 2026-09-21T14:14:00Z."""

SHOP = Caller("shop-web", "0123456789ab", "10.1.0.7")
NEWS = Caller("news", "ba9876543210", "10.1.0.8")
STRANGER = Caller(address="203.0.113.9")


class Hand(Clock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        super().__init__(1)
        self.now = MINUTE

    def time(self) -> float:
        return self.now


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.first = int  # called with the first record

    def emit(self, record: logging.LogRecord) -> None:
        if not self.records:
            self.first()
        self.records.append(record)

    @property
    def told(self) -> list[dict[str, str | int]]:
        return [json.loads(record.getMessage()) for record in self.records]

    def take(self) -> list[dict[str, str | int]]:
        told = self.told
        self.records.clear()
        return told


@contextmanager
def _logger(name: str = "test.audit"):
    logger = logging.getLogger(name)
    before = logger.level, logger.propagate
    heard = Heard()
    logger.addHandler(heard)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger, heard
    logger.removeHandler(heard)
    logger.level, logger.propagate = before


@pytest.fixture
def listening():
    with _logger() as (logger, heard):
        yield logger, heard


@pytest.fixture
def heard(listening):
    return listening[1]


@pytest.fixture
def clock():
    return Hand()


@pytest.fixture
def audit(clock, listening):
    return Audit(clock, listening[0])


def _refuse(audit, caller=STRANGER, **more):
    audit.tell(
        "refused", caller, account="shop", kind="access_token", result="not_allowed", status=403, **more
    )


# what a record says


def test_reads_of_a_minute_are_one_record_for_each_caller_and_credential(audit, clock, heard):
    for _ in range(3):
        audit.read(SHOP, "shop", "access_token")
    audit.read(NEWS, "shop", "access_token")
    audit.read(SHOP, "news", "access_token", "not_ready")
    assert heard.records == []
    clock.now += 42.5
    audit.flush()
    assert heard.told[0] == {
        "v": 1,
        "event": "read",
        "time": "2026-09-21T14:14:42.500Z",
        "client": "shop-web",
        "key": "0123456789ab",
        "address": "10.1.0.7",
        "account": "shop",
        "kind": "access_token",
        "result": "ok",
        "count": 3,
        "minute": "2026-09-21T14:14:00Z",
    }
    assert [(told["client"], told["account"], told["result"], told["count"]) for told in heard.told[1:]] == [
        ("news", "shop", "ok", 1),
        ("shop-web", "news", "not_ready", 1),
    ]


@pytest.mark.parametrize("event", ["refresh", "report", "refused"])
def test_what_is_rare_is_told_at_once(audit, heard, event):
    audit.tell(
        event,
        SHOP,
        account="shop",
        kind="access_token",
        result="budget_spent",
        status=429,
        request_id="req-1",
        version=7,
        errcode="45009",
    )
    assert heard.told == [
        {
            "v": 1,
            "event": event,
            "time": "2026-09-21T14:14:00.000Z",
            "client": "shop-web",
            "key": "0123456789ab",
            "address": "10.1.0.7",
            "account": "shop",
            "kind": "access_token",
            "result": "budget_spent",
            "status": 429,
            "request_id": "req-1",
            "count": 1,
            "version": 7,
            "errcode": "45009",
        }
    ]


def test_a_record_is_one_line_at_info_and_carries_the_same_as_a_dict(audit, heard):
    audit.tell("refresh", SHOP, account="店", result="ok", status=200)
    audit.read(SHOP, "shop", "access_token")
    audit.flush()
    for record in heard.records:
        assert record.levelno == logging.INFO
        assert record.getMessage().isascii()
        assert record.getMessage().isprintable()
        assert record.audit == json.loads(record.getMessage())
    assert heard.told[0]["account"] == "店"


def test_no_further_field_replaces_another(audit, heard):
    more = {"v": 9, "event": "x", "time": "x", "count": 9, "client": "x", "extra": "y"}
    del more["event"]  # the first parameter has that name
    audit.tell("refresh", SHOP, result="ok", status=200, **more)
    [told] = heard.told
    assert told.keys() - {"extra"} == {
        *("v", "event", "time", "client", "key", "address", "account", "kind", "result", "status"),
        *("request_id", "count"),
    }
    assert (told["v"], told["client"], told["count"], told["extra"]) == (1, "shop-web", 1, "y")
    assert told["time"].startswith("2026-")


@pytest.mark.parametrize("odd", ["a\nb", "\x00\x1b[31m", "a\u2028b", "\x7f", "\x9b", "\ud800", '"quoted"'])
def test_a_control_character_stays_within_its_line(audit, heard, odd):
    audit.tell("refused", SHOP, account=odd, result="unknown_account", status=404)
    audit.read(SHOP, odd, "access_token", "unknown_account")
    audit.flush()
    assert [told["account"] for told in heard.told] == [odd, odd]
    assert all(char.isprintable() and char.isascii() for r in heard.records for char in r.getMessage())


@pytest.mark.parametrize("secret", ["9" * 65, "77_" + "x" * 500, "wxk_" + "k" * 43, "a wxk_" + "k" * 43])
def test_what_may_be_a_secret_at_the_wrong_place_is_not_told(audit, heard, secret):
    audit.read(SHOP, secret, "access_token", "unknown_account")
    audit.read(Caller(secret, secret, secret), "shop", secret, secret)
    audit.tell("refresh", SHOP, account=secret, result=secret, status=404, request_id=secret, more=secret)
    _refuse(audit, Caller(secret, secret, secret))
    audit.flush()
    assert len(heard.records) == 4
    for record in heard.records:
        assert secret[:20] not in record.getMessage()
        assert '"..."' in record.getMessage()


def test_what_has_the_longest_length_is_told_whole(audit, heard):
    audit.read(SHOP, "n" * 64, "access_token")
    audit.flush()
    assert heard.told[0]["account"] == "n" * 64


def test_reads_of_what_is_too_long_are_one_record(audit, heard):
    for number in range(5):
        audit.read(SHOP, f"{number}{'x' * 100}", "access_token", "unknown_account")
    audit.flush()
    assert [(told["account"], told["count"]) for told in heard.told] == [("...", 5)]


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([(b"x-request-id", b"a.B_1:2-3")], "a.B_1:2-3"),
        ([(b"host", b"h"), (b"x-request-id", b"x" * 64), (b"x-request-id", b"y")], "x" * 64),
        ([(b"x-request-id", b"x" * 65)], ""),
        ([(b"x-request-id", b"")], ""),
        ([(b"x-request-id", b"a b")], ""),
        ([(b"x-request-id", b"a\n")], ""),
        ([(b"x-request-id", b"\xff")], ""),
        ([(b"x-request-id", b"{}"), (b"x-request-id", b"good")], ""),
        ([(b"x-request-idx", b"a")], ""),
        ([], ""),
    ],
)
def test_a_request_id_is_taken_only_if_it_looks_as_one(headers, found):
    assert request_id(headers) == found


# minutes


def test_a_read_past_the_minutes_end_writes_what_was_folded_before_it(audit, clock, heard):
    audit.read(SHOP, "shop", "access_token")
    clock.now = MINUTE + 59.999
    audit.read(SHOP, "shop", "access_token")
    assert heard.take() == []
    clock.now = MINUTE + 60
    audit.read(SHOP, "shop", "access_token")
    assert [(told["minute"], told["count"]) for told in heard.take()] == [("2026-09-21T14:14:00Z", 2)]
    audit.flush()
    assert [(told["minute"], told["count"]) for told in heard.take()] == [("2026-09-21T14:15:00Z", 1)]


def test_what_is_told_past_the_minutes_end_comes_after_what_was_folded(audit, clock, heard):
    audit.read(SHOP, "shop", "access_token")
    clock.now += 60
    audit.tell("refresh", SHOP, result="ok", status=200)
    assert [told["event"] for told in heard.told] == ["read", "refresh"]


@pytest.mark.parametrize("step", [-3600, -30, 3600])
def test_a_clock_that_is_set_begins_another_minute(audit, clock, heard, step):
    clock.now += 10
    audit.read(SHOP, "shop", "access_token")
    clock.now += step
    audit.read(SHOP, "shop", "access_token")
    audit.flush()
    begin = datetime.fromtimestamp((MINUTE + 10 + step) // 60 * 60, UTC)
    assert [(told["minute"], told["count"]) for told in heard.told] == [
        ("2026-09-21T14:14:00Z", 1),
        (f"{begin:%Y-%m-%dT%H:%M:%SZ}", 1),
    ]


def test_nothing_is_written_where_nothing_happened(audit, clock, heard):
    audit.flush()
    clock.now += 600
    audit.flush()
    assert heard.records == []


def test_too_many_different_reads_are_written_at_once(audit, heard, monkeypatch):
    monkeypatch.setattr(module, "MOST_KEYS", 3)
    for app in ("a", "b", "c", "a"):
        audit.read(SHOP, app, "access_token")
    assert heard.take() == []
    audit.read(SHOP, "d", "access_token")
    assert [(told["account"], told["count"]) for told in heard.take()] == [("a", 2), ("b", 1), ("c", 1)]
    audit.flush()
    assert [(told["account"], told["count"]) for told in heard.take()] == [("d", 1)]


# refusals


def test_refusals_of_an_address_beyond_twenty_are_one_record(audit, clock, heard):
    for _ in range(25):
        _refuse(audit, request_id="r")
    assert [told["count"] for told in heard.take()] == [1] * 20
    clock.now += 60
    audit.flush()
    assert heard.take() == [
        {
            "v": 1,
            "event": "refused",
            "time": "2026-09-21T14:15:00.000Z",
            "client": "",
            "key": "",
            "address": "203.0.113.9",
            "account": "shop",
            "kind": "access_token",
            "result": "not_allowed",
            "status": 403,
            "count": 5,
            "minute": "2026-09-21T14:14:00Z",
        }
    ]
    _refuse(audit)
    assert [told["count"] for told in heard.take()] == [1], "a new minute begins anew"


def test_a_folded_refusal_tells_what_they_have_in_common(audit, heard):
    for _ in range(20):
        _refuse(audit)
    _refuse(audit)
    audit.tell("refused", STRANGER, account="news", kind="access_token", result="no_right", status=401)
    _refuse(audit)
    heard.take()
    audit.flush()
    [told] = heard.take()
    assert (told["address"], told["kind"], told["count"]) == ("203.0.113.9", "access_token", 3)
    assert (told["account"], told["result"], told["status"]) == ("", "", 0)


def test_each_address_has_its_own_twenty(audit, heard):
    for caller in (STRANGER, Caller(address="203.0.113.10"), Caller()):
        for _ in range(20):
            _refuse(audit, caller)
    assert len(heard.take()) == 60
    audit.flush()
    assert heard.take() == []


def test_no_more_than_a_thousand_refusals_a_minute_are_told_one_by_one(audit, heard):
    for number in range(60):
        for _ in range(19):
            _refuse(audit, Caller(address=f"10.0.0.{number}"))
    assert len(heard.take()) == 1000
    audit.flush()
    folded = heard.take()
    assert sum(one["count"] for one in folded) == 60 * 19 - 1000
    assert len(folded) == 8


def test_beyond_a_thousand_addresses_the_further_ones_are_counted_together(audit, heard, monkeypatch):
    monkeypatch.setattr("wxtoken_asgi.audit.MOST_SINGLE", 10_000)
    _refuse(audit, Caller())  # somebody without an address is one of them
    for number in range(999):
        _refuse(audit, Caller(address=f"10.0.{number // 256}.{number % 256}"))
    heard.take()
    for number in range(30):
        _refuse(audit, Caller(address=f"10.9.0.{number}"))
    assert len(heard.take()) == 20
    _refuse(audit, Caller())
    _refuse(audit, Caller(address="10.0.0.1"))
    assert len(heard.take()) == 2, "those that are known go on having their own"
    audit.flush()
    [told] = heard.take()
    assert (told["address"], told["result"], told["count"]) == ("", "not_allowed", 10)


def test_other_events_are_never_folded(audit, heard):
    for _ in range(50):
        audit.tell("report", SHOP, result="ok", status=200)
    assert len(heard.records) == 50


# on and off


def test_the_records_go_to_a_logger_of_their_own(clock):
    with _logger("wxtoken_asgi.audit") as (_, heard):
        Audit(clock).tell("refresh", SHOP, result="ok", status=200)
        assert len(heard.records) == 1


def test_nothing_is_counted_while_the_logger_is_off(clock, listening):
    logger, heard = listening
    logger.setLevel(logging.WARNING)
    audit = Audit(clock, logger)
    assert not audit.on
    audit.read(SHOP, "shop", "access_token")
    audit.tell("refresh", SHOP, result="ok", status=200)
    logger.setLevel(logging.INFO)
    audit.flush()
    assert heard.records == []
    assert audit.on, "a flush looks anew"


def test_a_look_and_what_is_told_see_that_it_was_switched_on(clock, listening):
    logger, heard = listening
    logger.setLevel(logging.WARNING)
    looked, told = Audit(clock, logger), Audit(clock, logger)
    logger.setLevel(logging.INFO)
    assert looked.look() is looked.on is True
    told.tell("refresh", SHOP, result="ok", status=200)
    assert told.on
    assert len(heard.records) == 1


def test_what_was_counted_before_it_was_switched_off_is_not_written(audit, listening):
    logger, heard = listening
    audit.read(SHOP, "shop", "access_token")
    logger.setLevel(logging.WARNING)
    audit.flush()
    assert heard.records == []
    assert not audit.on


# beside others


def _in_virtual_time(backend, work):
    name, options = virtual_backend(backend)
    anyio.run(work, backend=name, backend_options=options)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_runs_writes_at_each_minutes_end_and_when_it_is_cancelled(listening, backend):
    logger, heard = listening

    async def work():
        clock = VirtualClock()
        audit = Audit(clock, logger)
        until = 60 - clock.time() % 60
        async with anyio.create_task_group() as group:
            group.start_soon(audit.run)
            audit.read(SHOP, "shop", "access_token")
            await anyio.sleep(until - 1)
            assert heard.records == []
            await anyio.sleep(2)
            assert [told["count"] for told in heard.take()] == [1]
            await anyio.sleep(300)
            assert heard.take() == []
            audit.read(NEWS, "shop", "access_token")
            await anyio.sleep(1)
            assert heard.take() == []
            group.cancel_scope.cancel()
        assert [told["client"] for told in heard.take()] == ["news"]
        await anyio.sleep(60)
        audit.read(NEWS, "shop", "access_token")
        await anyio.sleep(60)
        audit.read(NEWS, "shop", "access_token")
        assert len(heard.take()) == 1, "afterwards, reads write again"

    _in_virtual_time(backend, work)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_while_it_runs_a_read_at_the_minutes_end_writes_nothing_itself(listening, backend):
    logger, heard = listening

    async def work():
        clock = VirtualClock()
        audit = Audit(clock, logger)
        await anyio.sleep(60 - clock.time() % 60 + 1)
        async with anyio.create_task_group() as group:
            group.start_soon(audit.run)
            audit.read(SHOP, "shop", "access_token")
            await anyio.sleep(1)
            clock.wall_offset += 3600
            audit.read(SHOP, "shop", "access_token")
            assert heard.records == [], "it is due"
            await anyio.sleep(60)
            assert [told["count"] for told in heard.take()] == [1, 1]
            group.cancel_scope.cancel()

    _in_virtual_time(backend, work)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_clock_that_is_set_back_makes_the_minute_longer(listening, backend):
    logger, heard = listening

    async def work():
        clock = VirtualClock()
        audit = Audit(clock, logger)
        await anyio.sleep(60 - clock.time() % 60 + 30)
        async with anyio.create_task_group() as group:
            group.start_soon(audit.run)
            audit.read(SHOP, "shop", "access_token")
            await anyio.sleep(1)
            clock.wall_offset -= 20
            await anyio.sleep(45)
            assert heard.records == [], "it was woken, and slept on"
            await anyio.sleep(10)
            assert len(heard.take()) == 1
            group.cancel_scope.cancel()

    _in_virtual_time(backend, work)


def test_a_flush_writes_at_once_even_where_something_runs(audit, heard):
    audit._runs = 1
    audit.read(SHOP, "shop", "access_token")
    audit.flush()
    assert [told["count"] for told in heard.take()] == [1]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_others_have_their_turn_while_much_is_written_and_nothing_of_it_is_lost(listening, backend):
    logger, heard = listening
    seen = []

    async def work():
        clock = VirtualClock()
        audit = Audit(clock, logger)
        begun = anyio.Event()
        heard.first = begun.set
        for number in range(500):
            audit.read(SHOP, f"account{number}", "access_token")
        async with anyio.create_task_group() as group:
            group.start_soon(audit.run)
            await begun.wait()
            seen.append(len(heard.records))
            group.cancel_scope.cancel()
        assert len({told["account"] for told in heard.told}) == len(heard.records) == 500

    _in_virtual_time(backend, work)
    assert 0 < seen[0] < 500


def test_while_it_runs_what_is_due_does_not_grow_without_bound(audit, clock, heard, monkeypatch):
    monkeypatch.setattr(module, "MOST_KEYS", 3)
    audit._runs = 1  # something runs, but gets no turn
    for _ in range(4):
        clock.now += 60
        audit.read(SHOP, "shop", "access_token")
        audit.read(NEWS, "shop", "access_token")
    assert len(heard.records) == 4
    assert len(audit._due) <= 3


def test_threads_may_call_and_lose_next_to_nothing(listening):
    logger, heard = listening
    clock = Hand()
    audit = Audit(clock, logger)
    wrong = []

    def work(number):
        try:
            for turn in range(1500):
                audit.read(SHOP, f"a{turn % 7}", "access_token")
                if turn % 50 == number:
                    clock.now += 20
                if turn % 100 == number:
                    _refuse(audit)
        except Exception as error:  # noqa: BLE001 - whatever it is
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    audit.flush()
    assert wrong == []
    reads = sum(told["count"] for told in heard.told if told["event"] == "read")
    assert 5500 <= reads <= 6000
    assert sum(told["count"] for told in heard.told if told["event"] == "refused") == 60


def test_a_minute_that_another_thread_has_ended_is_not_told_twice(audit, clock, heard):
    audit.read(SHOP, "shop", "access_token")
    over = audit._minute
    clock.now += 60
    fresh = audit._turn(over)
    assert audit._turn(over) is fresh is audit._minute
    assert len(heard.records) == 1


def test_what_another_thread_adds_meanwhile_raises_nothing(audit, heard):
    minute = audit._minute
    audit.read(SHOP, "shop", "access_token")
    folds = minute.folds()
    next(folds)
    minute.reads[SHOP, "late", "access_token", "ok"] = iter([1])
    assert list(folds) == []


# the benchmark


@pytest.mark.parametrize(
    ("flag", "number", "least"), [("--rounds", 1, 2), ("--minutes", 0, 1), ("--calls", 0, 1)]
)
def test_the_benchmark_refuses_numbers_of_which_it_can_tell_nothing(capsys, flag, number, least):
    with pytest.raises(SystemExit) as caught:
        benchmark.run([flag, str(number)])
    assert caught.value.code == 2
    assert f"argument {flag}: it must be {least} or more, not {number}" in capsys.readouterr().err
