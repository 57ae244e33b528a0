"""`wxtoken key`: new keys for clients, printed or put into a file that the service follows."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from wxtoken_asgi.clients import Client, Clients
from wxtoken_asgi.config.keyfile import rotated
from wxtoken_asgi.errors import ConfigError, WxTokenError
from wxtoken_asgi.keys import Key

_SENT: Final = (
    "The client sends its key as `Authorization: Bearer KEY`. No configuration keeps it: this was it."
)


def explained(key: Key, name: str | None) -> list[str]:
    """What to do with a key, in lines that do not hold it.

    Args:
        key: what a configuration keeps of it.
        name: the client's name, or None if that was not said.

    Raises:
        ConfigError: no client can be called so.
    """
    listed = f'keys = ["{key.line}"]'
    if name is None:
        return ["The client's table, [clients.NAME], takes:", listed, _SENT]
    Clients([Client(name, keys=(key.line,))])
    quoted = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    return ["The configuration, above its first [table], takes:", f"clients.{quoted} = {{ {listed} }}", _SENT]


def hand_out(key: str) -> None:
    """Print a key.

    Raises:
        WxTokenError: it could not be printed.
    """
    if sys.stdout is None:  # it was closed before the start
        reason = "there is no stdout"
    else:
        try:
            sys.stdout.write(f"{key}\n")
            sys.stdout.flush()
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or "stdout is closed"
            _give_up_stdout()
        else:
            return
    msg = f"the key could not be printed, and nothing was changed: {reason}"
    raise WxTokenError(msg)


def _give_up_stdout() -> None:
    """What could not be written would be tried once more at the end, with a complaint of its own."""
    with suppress(OSError, ValueError):
        stdout = sys.stdout.fileno()
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), stdout)


def rotate(
    file: Path, key: Key, now: float, overlap_s: float, ready: Callable[[], None] = lambda: None
) -> None:
    """Put a key into a file of keys, and let those before it end.

    The file is replaced in one step, where a symbolic link leads to, and keeps its mode and owner: the
    service may be another user's. A new one is its owner's alone. Of several that do so at once each waits
    for the one before, where the system has `flock`.

    Args:
        file: the file; it may be missing.
        key: what is kept of the new key.
        now: in seconds since 1970.
        overlap_s: seconds in which the keys before it are good at most.
        ready: called before the last step; it hands the key out, for one that nobody has must end no other.
            If it raises, nothing has changed.

    Raises:
        ConfigError: the file holds something else, or cannot be read or written; then it is as it was.
    """
    place = Path(os.path.realpath(file))
    try:
        with _alone(place.parent):
            before = _state(place)
            text = "" if before is None else place.read_bytes().decode("utf-8-sig")
            _replace(place, rotated(text, key, now, overlap_s), before, ready)
    except ConfigError as problem:
        msg = f"{file}: {problem}"
        raise ConfigError(msg) from None
    except UnicodeDecodeError:
        msg = f"{file}: it is no UTF-8 text"
        raise ConfigError(msg) from None
    except OSError as problem:
        msg = f"{file}: cannot be read and written: {problem.strerror}"
        raise ConfigError(msg) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: the file itself is another one after each rotation."""
    if importlib.util.find_spec("fcntl") is None:  # Windows has none
        yield
        return
    fcntl: Any = importlib.import_module("fcntl")
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _state(place: Path) -> os.stat_result | None:
    try:
        found = place.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        msg = "it is no regular file"
        raise ConfigError(msg)
    return found


def _replace(place: Path, text: str, before: os.stat_result | None, ready: Callable[[], None]) -> None:
    number, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)  # mode 0600
    try:
        with os.fdopen(number, "wb") as file:
            if before is not None and hasattr(os, "fchown"):  # Windows has none
                os.fchown(number, before.st_uid, before.st_gid)
                os.fchmod(number, before.st_mode & 0o777)
            file.write(text.encode())
            file.flush()
            os.fsync(number)
        ready()
        Path(name).replace(place)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
