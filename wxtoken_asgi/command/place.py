"""Where `wxtoken serve` keeps its records if no store is written out, and whether a store can be used."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio

from wxtoken_asgi.errors import ConfigError, StoreError, StoreFormatError, StoreRefused
from wxtoken_asgi.stores import Store, open_store

_FILE: Final = "tokens.db"
_INSTEAD: Final = "write store, or give --store"
_TRY_S: Final = 10.0


def default_file(environ: Mapping[str, str] | None = None) -> Path:
    """The file of this user's, or of the systemd unit's, state.

    Args:
        environ: the environment; None for the process's own.

    Raises:
        ConfigError: there is no place for it.
    """
    environ = os.environ if environ is None else environ
    unit = environ.get("STATE_DIRECTORY", "").partition(os.pathsep)[0]
    if unit:
        return Path(unit) / _FILE
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # the specification: such a value is to be ignored
        state = _home() / ".local" / "state"
    return state / "wxtoken" / _FILE


def _home() -> Path:
    try:
        home = Path.home()
    except RuntimeError:
        msg = f"store: there is no home directory to keep records in; {_INSTEAD}"
        raise ConfigError(msg) from None
    return home


def url_of(file: Path) -> str:
    """The address of the store in a file."""
    return f"sqlite:///{file.as_posix().removeprefix('/')}"


def default_url() -> str:
    """The store that is used where none is written out; its directories are there afterwards.

    Raises:
        ConfigError: there is no place for it, or none that can be written to.
    """
    file = default_file()
    try:
        _make(file.parent)
    except OSError as problem:
        msg = f"store: cannot make {file.parent}: {problem.strerror}; {_INSTEAD}"
        raise ConfigError(msg) from None
    return url_of(file)


def _make(folder: Path) -> None:
    """Make a directory and those above it, each for its owner alone."""
    missing = [place for place in (folder, *folder.parents) if not place.is_dir()]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)  # another process may make it just now


@contextmanager
def temporary() -> Iterator[str]:
    """A store that is gone at the end.

    Raises:
        ConfigError: there is no place for it.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="wxtoken-", ignore_cleanup_errors=True)
    except OSError as problem:
        msg = f"store: cannot make a temporary one: {problem.strerror}; give --store"
        raise ConfigError(msg) from None
    with folder as name:
        yield url_of(Path(name) / _FILE)


def try_out(url: str) -> None:
    """Open and close a store before anything is served from it.

    Whatever is wrong with a file ends the start here, for it will not go by itself; so does a server that
    refuses the password, a right, or speaks no TLS. One that is away may be back soon: what is held is
    served meanwhile.

    Args:
        url: the store's address.

    Raises:
        ConfigError: there is no such store, its file cannot be used, the server refuses, or the records have
            another format.
    """
    try:
        open_once(url)
    except (StoreFormatError, StoreRefused) as problem:
        raise ConfigError(str(problem)) from None
    except StoreError as problem:
        if url.startswith("sqlite:"):
            raise ConfigError(str(problem)) from None


def open_once(url: str) -> None:
    """Open and close a store.

    Args:
        url: its address.

    Raises:
        ConfigError: there is no such store.
        StoreError: it does not answer.
    """
    anyio.run(_open_and_close, open_store(url))


async def _open_and_close(store: Store) -> None:
    try:
        with anyio.fail_after(_TRY_S):
            await store.open()
    except TimeoutError:
        msg = f"store: it did not answer within {_TRY_S:g} s"
        raise StoreError(msg) from None
    finally:
        with anyio.move_on_after(1, shield=True):
            await store.close()
