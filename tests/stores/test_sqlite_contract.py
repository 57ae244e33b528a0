"""The SQLite store keeps the contract: without threads in virtual time, and with them."""

from __future__ import annotations

import pytest

from wxtoken_asgi.stores.sqlite import SQLiteStore
from wxtoken_asgi.testing import StoreContract

from support.sqlite_store import InlineSQLiteStore, quick_folder
from support.virtual_stage import VirtualStage


class OnAFile(StoreContract):
    @pytest.fixture
    def path(self):
        with quick_folder() as folder:
            yield folder / "tokens.db"

    @pytest.fixture
    def wipe(self, path):
        async def delete():
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

        return delete


class TestInVirtualTime(VirtualStage, OnAFile):
    @pytest.fixture
    def make(self, path, clock):
        return lambda: InlineSQLiteStore(path, clock=clock)


class TestWithThreads(OnAFile):
    # These sleep in real time; test_sqlite_threads.py has the same with shorter waits.
    test_a_follower_waits_for_news_and_hears_them_at_once = None
    test_a_follower_waits_no_longer_than_it_wants_to = None
    test_a_follower_may_go_away = None
    test_a_wipe_wakes_those_who_wait = None
    # This writes 10,000 records, which threads make no other.
    test_for_a_cursor_that_is_too_far_behind_everything_has_changed = None

    @pytest.fixture
    def make(self, path, clock):
        return lambda: SQLiteStore(path, clock=clock)
