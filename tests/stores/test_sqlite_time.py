"""A SQLite file's time: even within one boot, and on the safe side of what a reboot leaves unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.stores.contract import Busy, Charge, Claim, Granted, LastError, Spent, Supply
from wxtoken_asgi.stores.sqlite import storetime
from wxtoken_asgi.stores.sqlite.database import Database
from wxtoken_asgi.testing.stage import ERROR, KEY, key

from support.sqlite_store import SetClock, quick_folder

ASKED = (Charge("asked", 1),)


class Machine:
    """A machine with one file; a reboot sets its boot clock back."""

    def __init__(self, path):
        self.path = path
        self.clock = SetClock()
        self.boot = "boot-1"
        self.database = Database(path, self.clock, boot=self.boot)

    def reboot(self, *, wall_s):
        """The wall clock says that so many seconds have passed since."""
        self.database.close()
        self.boot += "1"
        self.clock.boot = 20.0
        self.clock.wall += wall_s
        self.database = Database(self.path, self.clock, boot=self.boot)

    def record(self, credential=KEY):
        return self.database.read([credential])[0]

    def claim(self, credential=KEY, **claim):
        return self.database.claim([Claim(credential, asked=True, **claim)], owner="one", lease_s=30)[0]

    def put(self, credential=KEY):
        self.database.supply([Supply(credential, "value", 7000, 3600)])


@pytest.fixture
def machine():
    with quick_folder() as folder:
        machine = Machine(folder / "tokens.db")
        yield machine
        machine.database.close()


@pytest.mark.parametrize("step", [-3600, 3600, 10**9])
def test_a_step_of_the_wall_clock_changes_nothing(machine, step):
    machine.put()
    machine.clock.advance(100)
    machine.clock.wall += step
    assert machine.record().ttl_s == 6900
    machine.database.close()
    assert machine.record().ttl_s == 6900


def test_over_a_reboot_time_goes_on_as_the_wall_clock_does(machine):
    machine.put()
    machine.clock.advance(1000)
    machine.reboot(wall_s=600)
    record = machine.record()
    assert (record.value, record.ttl_s, record.ask_in_s) == ("value", 5400, 2000)


def test_what_ended_while_the_machine_was_off_has_ended(machine):
    machine.put()
    machine.reboot(wall_s=8000)
    assert not machine.record().good
    assert machine.database.due(10).credentials == (KEY,)


def test_a_lease_of_before_the_reboot_ends_in_time(machine):
    machine.claim()
    machine.reboot(wall_s=10)
    [busy] = machine.database.claim([Claim(KEY)], owner="two", lease_s=30)
    assert isinstance(busy, Busy)
    assert busy.retry_in_s == 20
    machine.clock.advance(20)
    assert isinstance(machine.database.claim([Claim(KEY)], owner="two", lease_s=30)[0], Granted)


def test_a_wall_clock_behind_ends_all_values_and_forgives_no_budget(machine):
    machine.put()
    granted = machine.claim(key(1), charges=ASKED)
    machine.database.fail([_failure(granted.fence)])
    machine.reboot(wall_s=-100)
    assert not machine.record().good
    due = machine.database.due(10)
    assert due.credentials == (KEY,)
    assert due.next_in_s == 300, "the back-off runs on from where it was"
    assert machine.record(key(1)).error == ERROR
    machine.clock.advance(300)
    assert isinstance(machine.claim(key(1), charges=ASKED), Spent)


def test_time_never_goes_back(machine):
    machine.put()
    seen = []
    for wall_s in (-5000, 10, 0, -1, 7200):
        machine.clock.advance(1)
        seen.append(machine.database._world.anchor.now(machine.clock))
        machine.put()
        machine.reboot(wall_s=wall_s)
        machine.record()
        seen.append(machine.database._world.anchor.now(machine.clock))
    assert seen == sorted(seen)


def test_fences_grow_over_a_reboot_with_a_wall_clock_behind(machine):
    first = machine.claim()
    machine.reboot(wall_s=-86_400)
    machine.database.open()
    machine.clock.advance(31)
    assert machine.claim().fence > first.fence
    machine.database.remove([KEY])
    assert machine.claim().fence > first.fence, "though the record was forgotten"


def test_the_first_process_after_a_reboot_decides_for_all(machine):
    machine.put()
    machine.reboot(wall_s=600)
    second = Database(machine.path, machine.clock, boot=machine.boot)
    assert machine.record().ttl_s == 6400
    machine.clock.wall += 86_400
    assert second.read([KEY])[0].ttl_s == 6400
    second.close()


def test_two_who_come_at_once_after_a_reboot_count_it_once(machine, monkeypatch):
    machine.put()
    machine.reboot(wall_s=-600)
    other = Database(machine.path, machine.clock, boot=machine.boot)
    written = storetime.rebooted

    def overtaken(*args):
        pytest.fail("somebody else has done it already")

    from wxtoken_asgi.stores.sqlite import world

    enter = world.written

    def slower(connection):
        monkeypatch.setattr(world, "written", enter)
        other.open()
        monkeypatch.setattr(storetime, "rebooted", overtaken)
        return enter(connection)

    monkeypatch.setattr(world, "written", slower)
    assert not machine.record().good
    monkeypatch.setattr(storetime, "rebooted", written)
    other.close()


def test_without_a_boot_id_the_wall_clock_is_followed(machine):
    database = Database(machine.path, machine.clock, boot="")
    database.supply([Supply(KEY, "value", 7000, 3600)])
    machine.clock.wall += 1000
    assert database.read([KEY])[0].ttl_s == 6000
    database.close()


def test_this_systems_boot_id_is_always_the_same():
    assert storetime.boot_id() == storetime.boot_id()


def test_where_there_is_no_boot_id_it_is_empty(monkeypatch):
    monkeypatch.setattr(storetime, "_BOOT_ID", Path("/nonexistent/boot_id"))
    assert storetime.boot_id() == ""
    assert storetime.begun("", Clock()).ahead == pytest.approx(0, abs=1)


def _failure(fence):
    from wxtoken_asgi.stores.contract import Fail

    assert isinstance(ERROR, LastError)
    return Fail(key(1), fence, wait_s=300, error=ERROR)
