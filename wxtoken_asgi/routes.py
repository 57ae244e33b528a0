"""Which requests are ours: whole segments of the path below `root_path`, and only those of design's table."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from starlette.types import Receive, Scope, Send

from wxtoken_asgi.errors import ConfigError

Handler = Callable[[str, Scope, Receive, Send], Awaitable[None]]
_PREFIX: Final = re.compile(r"(/[^/?#%\s]+)*")  # it is compared with paths that are decoded already


def _no_headers(app: str, scope: Scope) -> Sequence[tuple[bytes, bytes]]:  # noqa: ARG001
    return ()


class Row(NamedTuple):
    """What answers a path.

    Args:
        handlers: by method.
        headers: what the answer to another method carries besides, given `{app}` and scope.
    """

    handlers: Mapping[str, Handler]
    headers: Callable[[str, Scope], Sequence[tuple[bytes, bytes]]] = _no_headers

    @property
    def allow(self) -> str:
        """The `Allow` header."""
        return ", ".join(self.handlers)


def checked_prefix(prefix: object) -> str:
    """The prefix as it is matched: empty, or `/wx`.

    Raises:
        ConfigError: it is no path.
    """
    if isinstance(prefix, str):
        bare = prefix.removesuffix("/")
        if _PREFIX.fullmatch(bare):
            return bare
    msg = f"prefix: it must be empty or a path such as '/wx', not {prefix!r}"
    raise ConfigError(msg)


def route_path(path: str, root_path: str) -> str:
    """The path below `root_path`, if that is a whole-segment prefix of it; else the path as it is.

    The same as Starlette's private `get_route_path`, so that a mounted app and we agree on what is whose.
    """
    if not path.startswith(root_path):
        return path
    below = path[len(root_path) :]
    return below if not below or below.startswith("/") else path


class Routes:
    """The table of paths.

    Args:
        prefix: below which everything lies.
        apps: the rows `{prefix}/{word}/{app}`.
        fixed: the rows `{prefix}/{path}`, for owners.
        known: whether an account has this name or appid.
        guest: the app that we wrap owns the paths: only what is certainly meant for us is claimed.
        wrong_method: answers a claimed path asked with a method that it does not know.
    """

    def __init__(
        self,
        prefix: str,
        *,
        apps: Mapping[str, Row],
        fixed: Mapping[str, Row],
        known: Callable[[str], bool],
        guest: bool,
        wrong_method: Callable[[str, Row], Handler],
    ) -> None:
        self._apps = apps
        self._fixed = {} if guest else {f"{prefix}/{path}": row for path, row in fixed.items()}
        self._known = known
        self._guest = guest
        self._wrong_method = wrong_method
        self._start = len(prefix) + 1
        self.heads = tuple(f"{prefix}/{word}/" for word in apps) if guest else f"{prefix}/"
        """No path is ours that does not start with one of these."""

    def find(self, path: str, method: str) -> tuple[Handler, str] | None:
        """What answers this request, and the `{app}` in its path; None: it is not ours."""
        word, _, app = path[self._start :].partition("/")
        app = app.removesuffix("/")
        row = self._apps.get(word) if app and "/" not in app else None
        if row is None:
            row, app = self._fixed.get(path.removesuffix("/")), ""
        if row is None:
            return None
        handler = row.handlers.get(method)
        if self._guest:
            return (handler, app) if handler is not None and self._known(app) else None
        return handler or self._wrong_method(word, row), app
