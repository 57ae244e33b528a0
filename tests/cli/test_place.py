"""Where records are kept if no store is written out, and stores that cannot be used."""

from __future__ import annotations

import errno
import os
import pwd
import stat
import tempfile
from pathlib import Path

import pytest

from wxtoken_asgi.command import place
from wxtoken_asgi.errors import ConfigError, StoreError, StoreFormatError, StoreRefused
from wxtoken_asgi.stores import MemoryStore

HOME = Path.home()


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({"STATE_DIRECTORY": "/var/lib/center", "XDG_STATE_HOME": "/x"}, "/var/lib/center/tokens.db"),
        ({"STATE_DIRECTORY": "/var/lib/center:/var/lib/other"}, "/var/lib/center/tokens.db"),
        ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": "/x"}, "/x/wxtoken/tokens.db"),
        ({"XDG_STATE_HOME": "relative"}, HOME / ".local/state/wxtoken/tokens.db"),
        ({"XDG_STATE_HOME": ""}, HOME / ".local/state/wxtoken/tokens.db"),
        ({}, HOME / ".local/state/wxtoken/tokens.db"),
    ],
)
def test_records_are_kept_in_the_state_of_the_unit_or_of_the_user(environ, file):
    assert place.default_file(environ) == Path(file)


def test_a_path_becomes_an_address():
    assert place.url_of(Path("/var/lib/tokens.db")) == "sqlite:///var/lib/tokens.db"


def test_directories_are_made_for_their_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a" / "b"))
    before = os.umask(0)
    try:
        assert place.default_url() == f"sqlite://{tmp_path}/a/b/wxtoken/tokens.db"
        assert place.default_url() == f"sqlite://{tmp_path}/a/b/wxtoken/tokens.db"
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "wxtoken"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700] * 3


def test_a_directory_that_is_there_stays_as_it_is(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    place.default_url()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def refused(function, *args):
    with pytest.raises(ConfigError) as caught:
        function(*args)
    line = str(caught.value)
    assert line.startswith("store: ")
    assert "\n" not in line
    return line


def test_without_a_home_the_setting_is_named(monkeypatch):
    def unknown(_):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    line = "store: there is no home directory to keep records in; write store, or give --store"
    assert refused(place.default_url) == line


def test_where_a_file_is_in_the_way_the_setting_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file" / "below"))
    assert refused(place.default_url).endswith("File exists; write store, or give --store")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_where_nothing_can_be_made_the_setting_is_named(monkeypatch, tmp_path, number):
    def no(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "below"))
    monkeypatch.setattr(Path, "mkdir", no)
    words = f"store: cannot make {tmp_path}/below: {os.strerror(number)}; write store, or give --store"
    assert refused(place.default_url) == words


def test_a_temporary_store_is_gone_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with place.temporary() as url:
        [folder] = tmp_path.iterdir()
        assert url == f"sqlite://{folder}/tokens.db"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        place.open_once(url)
        assert (folder / "tokens.db").exists()
    assert not folder.exists()


def test_without_room_for_a_temporary_store_the_flag_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"^store: cannot make a temporary one: .*; give --store$"):
        place.temporary().__enter__()


class Failing(MemoryStore):
    closed = False
    error: Exception | None = None

    async def open(self):
        if self.error is not None:
            raise self.error

    async def close(self):
        self.closed = True


@pytest.fixture
def failing(monkeypatch):
    store = Failing()
    monkeypatch.setattr(place, "open_store", lambda _: store)
    return store


AWAY = StoreError("store: it is away")
REFUSES = StoreRefused("store: Redis at h: it wants another user or password")
OTHER = StoreFormatError("store: its records have format 2")


@pytest.mark.parametrize(
    ("url", "error", "ends"),
    [
        ("redis://h", None, False),
        ("redis://h", AWAY, False),
        ("redis://h", OTHER, True),
        ("redis://h", REFUSES, True),
        ("sqlite:///f", AWAY, True),
        ("sqlite:///f", OTHER, True),
        ("memory:", None, False),
    ],
)
def test_what_is_wrong_with_a_file_ends_the_start_and_a_server_that_is_away_does_not(
    failing, url, error, ends
):
    failing.error = error
    if ends:
        assert refused(place.try_out, url) == str(error)
    else:
        place.try_out(url)
    assert failing.closed


def test_a_store_that_does_not_answer_is_not_waited_for(failing, monkeypatch):
    monkeypatch.setattr(place, "_TRY_S", 0.01)
    failing.error = None

    async def hang():
        from anyio import sleep_forever

        await sleep_forever()

    failing.open = hang
    with pytest.raises(StoreError, match=r"^store: it did not answer within 0\.01 s$"):
        place.open_once("redis://h")
    assert failing.closed
