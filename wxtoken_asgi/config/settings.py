"""The table of settings: what each one is called, what it looks like and where it may stand.

The table drives the checks of `wxtoken_asgi.config`, the reading of the environment and the reference page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from wxtoken_asgi.access import DEFAULT_TRUSTED
from wxtoken_asgi.clients import JS_CONFIG, READ, REFRESH
from wxtoken_asgi.config.shapes import NUMBER, SWITCH, TEXT, WHOLE, WORDS, Setting
from wxtoken_asgi.kinds import LONGEST_PROBE_S, SHORTEST_PROBE_S
from wxtoken_asgi.records import DEFAULT_API_BASE


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda value: re.fullmatch(pattern, value) is not None


def _is_filled(value: str) -> bool:
    return re.fullmatch(r"[^\x00-\x1f\x7f]+", value) is not None


def _is_port(value: int) -> bool:
    return 0 <= value <= 65535


def _above_zero(value: float) -> bool:
    return 0 < value <= 1_000_000


def _is_pause(value: float) -> bool:
    return value == 0 or 0.1 <= value <= 1_000_000


def _is_probe_pause(value: float) -> bool:
    return value == 0 or SHORTEST_PROBE_S <= value <= LONGEST_PROBE_S


_OBJECT: Final = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*"
_NAMED: Final = "like 'module:object'"
_PORT: Final = "0 to 65535"
_ONE: Final = "a list with one entry at least; left out it means"
_FILLED: Final = "something, not empty, on one line"

SETTINGS: Final = (
    Setting(
        "prefix",
        TEXT,
        "the path below which our own paths lie, such as `/wx`",
        top=True,
        default="",
        check=_matches(r"(/[^/?#\s]+)*"),
        must="empty or a path such as '/wx', without a slash at its end",
    ),
    Setting(
        "store",
        TEXT,
        "where credentials are kept: `sqlite:///path`, `redis://host:6379/0`, `memory:`",
        top=True,
        check=_is_filled,
        must=_FILLED,
        secret=True,
    ),
    Setting(
        "store_env",
        TEXT,
        "the environment variable that holds `store`",
        top=True,
        check=_is_filled,
        must=_FILLED,
        secret=True,
    ),
    Setting(
        "store_file",
        TEXT,
        "the file that holds `store`; one newline at its end is dropped",
        top=True,
        check=_is_filled,
        must=_FILLED,
        secret=True,
    ),
    Setting(
        "trusted",
        WORDS,
        "addresses and networks that may read and refresh",
        top=True,
        default=DEFAULT_TRUSTED,
    ),
    Setting(
        "trusted_proxies",
        WORDS,
        "proxies whose forwarding headers are believed",
        top=True,
        default=(),
    ),
    Setting(
        "hosts",
        WORDS,
        "host names under which a loopback peer may ask, besides localhost",
        top=True,
        default=(),
    ),
    Setting(
        "include",
        WORDS,
        "further files, as patterns relative to this one, with `[accounts.NAME]` and `[clients.NAME]` only",
        top=True,
        default=(),
        check=lambda patterns: all(map(_is_filled, patterns)),
        must="a list of patterns, none of them empty",
    ),
    Setting(
        "namespace",
        TEXT,
        "keeps apart those that share a store and shall not share credentials",
        top=True,
        default="wxtoken",
        check=_matches(r"[\w.-]{1,64}"),
        must="1-64 letters, digits, '_', '-' or '.'",
    ),
    Setting(
        "fetches",
        WHOLE,
        "how many fetches may be under way at once",
        top=True,
        default=64,
        check=_above_zero,
        must="above 0, at most 1000000",
    ),
    Setting(
        "ask_every",
        NUMBER,
        "seconds between two asks of the stable endpoint",
        top=True,
        default=270.0,
        check=_above_zero,
        must="seconds, above 0, at most 1000000",
    ),
    Setting(
        "probe_every",
        NUMBER,
        "seconds between two probes of an access token: does WeChat still take it; 0: no probes",
        top=True,
        default=0.0,
        check=_is_probe_pause,
        must="seconds, 0 or from 60 to 86400",
    ),
    Setting(
        "js_config_ticket",
        SWITCH,
        "whether js-config answers hold `jsapi_ticket` for those who may read tickets",
        top=True,
        default=False,
    ),
    Setting(
        "js_config_open",
        SWITCH,
        "whether js-config answers everybody; else only clients that may `js-config`",
        top=True,
        default=True,
    ),
    Setting(
        "watch_every",
        NUMBER,
        "seconds between two looks at the configuration's files; 0: they are read on SIGHUP only",
        top=True,
        default=5.0,
        check=_is_pause,
        must="seconds, 0 or from 0.1 to 1000000",
    ),
    Setting(
        "hooks",
        TEXT,
        "an object with `on_token`, `on_ticket`, `on_error`, as `module:object`",
        top=True,
        check=_matches(_OBJECT),
        must=_NAMED,
    ),
    Setting(
        "host",
        TEXT,
        "the address that `wxtoken serve` listens on",
        top=True,
        default="127.0.0.1",
        check=_is_filled,
        must=_FILLED,
    ),
    Setting(
        "port",
        WHOLE,
        "the port that `wxtoken serve` listens on; 0: any free one",
        top=True,
        default=8000,
        check=_is_port,
        must=_PORT,
    ),
    Setting(
        "js_config_host",
        TEXT,
        "the address of the port for js-config alone; else that of `host`",
        top=True,
        check=_is_filled,
        must=_FILLED,
    ),
    Setting(
        "js_config_port",
        WHOLE,
        "a further port, on which js-config and `/health/live` alone are answered; 0: any free one",
        top=True,
        check=_is_port,
        must=_PORT,
    ),
    Setting(
        "audit_log",
        TEXT,
        "where `wxtoken serve` writes audit records: `stdout`, `stderr` or a file",
        top=True,
        check=_is_filled,
        must=_FILLED,
    ),
    Setting(
        "workers",
        WHOLE,
        "how many processes `wxtoken serve` runs",
        top=True,
        default=1,
        check=lambda workers: 1 <= workers <= 1024,
        must="1 to 1024",
    ),
    Setting(
        "app",
        TEXT,
        "the ASGI app that `wxtoken serve` wraps, as `module:object`",
        top=True,
        check=_matches(_OBJECT),
        must=_NAMED,
    ),
    Setting("appid", TEXT, "the AppID", account=True),
    Setting("secret", TEXT, "the AppSecret", account=True, secret=True),
    Setting(
        "secret_env",
        TEXT,
        "the environment variable that holds `secret`",
        account=True,
        check=_is_filled,
        must=_FILLED,
        secret=True,
    ),
    Setting(
        "secret_file",
        TEXT,
        "the file that holds `secret`; one newline at its end is dropped",
        account=True,
        check=_is_filled,
        must=_FILLED,
        secret=True,
    ),
    Setting(
        "endpoint", TEXT, "where access tokens come from: `stable` or `token`", account=True, default="stable"
    ),
    Setting("tickets", WORDS, "the tickets kept fresh from the start: `jsapi`", account=True, default=()),
    Setting("js_domains", WORDS, "the hosts whose pages may be signed; empty: all", account=True, default=()),
    Setting(
        "daily_quota",
        WHOLE,
        "calls of the old endpoint in 24 hours; 200 for a test account",
        account=True,
        default=2000,
    ),
    Setting(
        "api_base",
        TEXT,
        "where WeChat is; `https`, or `http` on loopback",
        top=True,
        account=True,
        default=DEFAULT_API_BASE,
    ),
    Setting("proxy", TEXT, "a proxy for the calls to WeChat", top=True, account=True, secret=True),
    Setting(
        "timeout", NUMBER, "seconds for one call to WeChat, at most 10", top=True, account=True, default=10.0
    ),
    Setting(
        "keys",
        WORDS,
        "what `wxtoken key` printed beside the client's keys, `sha256:...`; any will do; empty: nobody is it",
        client=True,
        secret=True,
    ),
    Setting(
        "keys_file",
        TEXT,
        "the file that holds `keys`, one a line; `#` begins a comment",
        client=True,
        check=_is_filled,
        must=_FILLED,
        secret=True,
    ),
    Setting(
        "keyless",
        SWITCH,
        "whether the client has no key, and is whoever comes from its `networks`",
        client=True,
        default=False,
    ),
    Setting(
        "accounts",
        WORDS,
        "the accounts that the client may use; left out: all",
        client=True,
        check=bool,
        must=f"{_ONE}: all",
    ),
    Setting(
        "may",
        WORDS,
        "what it may do: `read`, `refresh`, `call`, `operate`, `js-config`",
        client=True,
        default=(READ, REFRESH, JS_CONFIG),
        check=bool,
        must=f"{_ONE}: read, refresh and js-config",
    ),
    Setting(
        "networks",
        WORDS,
        "where it must come from; of a keyless client: by which it is known; left out: from anywhere",
        client=True,
        check=bool,
        must=f"{_ONE}: from anywhere, with a key",
    ),
)

TOP: Final = MappingProxyType({row.name: row for row in SETTINGS if row.top})
ACCOUNT: Final = MappingProxyType({row.name: row for row in SETTINGS if row.account})
CLIENT: Final = MappingProxyType({row.name: row for row in SETTINGS if row.client})
