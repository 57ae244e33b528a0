"""Which requests are ours: whole segments of the path below `root_path`, and only those of design's table."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from starlette.types import Receive, Scope, Send

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import shown

Handler = Callable[[str, Scope, Receive, Send], Awaitable[None]]
_PREFIX: Final = re.compile(r"(/[^/?#%\s]+)*")  # it is compared with paths that are decoded already

_AFTER_SLASH: Final = chr(ord("/") + 1)


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
    msg = f"prefix: it must be empty or a path such as '/wx', not {shown(prefix)}"
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
        guest_of: the names and appids of the accounts, if the app that we wrap owns the paths: then only
            what is certainly meant for us is claimed.
        wrong_method: answers a claimed path asked with a method that it does not know.

    Attributes:
        claims: as guests, all paths that are ours; None: we own what lies in `span`.
        span: as owners, the first path that may be ours and the first beyond.
    """

    def __init__(
        self,
        prefix: str,
        *,
        apps: Mapping[str, Row],
        fixed: Mapping[str, Row],
        guest_of: Iterable[str] | None,
        wrong_method: Callable[[str, Row], Handler],
    ) -> None:
        self._apps = apps
        self._fixed = {f"{prefix}/{path}": row for path, row in fixed.items()}
        self._wrong_method = wrong_method
        self._start = len(prefix) + 1
        self.claims = None if guest_of is None else _claims(prefix, apps, guest_of)
        self.span = (f"{prefix}/", f"{prefix}{_AFTER_SLASH}")

    def find(self, path: str, method: str) -> tuple[Handler, str] | None:
        """What answers a request for a claimed path, and the `{app}` in it; None: it is not ours."""
        word, _, app = path[self._start :].partition("/")
        app = app.removesuffix("/")
        row = self._apps.get(word) if app and "/" not in app else None
        if row is None:
            row, app = self._fixed.get(path.removesuffix("/")), ""
        if row is None:
            return None
        handler = row.handlers.get(method)
        if handler is None and self.claims is None:
            handler = self._wrong_method(word, row)
        return None if handler is None else (handler, app)


def _claims(prefix: str, words: Iterable[str], apps: Iterable[str]) -> frozenset[str]:
    """Looked up for every request that passes: a set is quicker than any match."""
    return frozenset(f"{prefix}/{word}/{app}{slash}" for app in apps for word in words for slash in ("", "/"))
