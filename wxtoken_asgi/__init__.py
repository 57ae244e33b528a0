"""The token center for WeChat accounts, as a pure ASGI middleware."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wxtoken_asgi.charges import Budget
    from wxtoken_asgi.clients import Client
    from wxtoken_asgi.errors import (
        BadUrl,
        BudgetSpent,
        ConfigError,
        HostNotAllowed,
        NoSuchCredential,
        NotReady,
        StoreError,
        StoreFormatError,
        StoreRefused,
        TooManyWaiting,
        UnknownAccount,
        UpstreamRefused,
        UpstreamTimeout,
        WrongLoop,
        WxTokenError,
    )
    from wxtoken_asgi.hooks import EarlyDeathEvent, ErrorEvent, TokenEvent
    from wxtoken_asgi.jssdk import JsConfig
    from wxtoken_asgi.manager import TokenManager
    from wxtoken_asgi.middleware import WxTokenMiddleware
    from wxtoken_asgi.records import Account
    from wxtoken_asgi.status import CredentialStatistics, Statistics

__version__ = "0.1.0"

__all__ = [
    "Account",
    "BadUrl",
    "Budget",
    "BudgetSpent",
    "Client",
    "ConfigError",
    "CredentialStatistics",
    "EarlyDeathEvent",
    "ErrorEvent",
    "HostNotAllowed",
    "JsConfig",
    "NoSuchCredential",
    "NotReady",
    "Statistics",
    "StoreError",
    "StoreFormatError",
    "StoreRefused",
    "TokenEvent",
    "TokenManager",
    "TooManyWaiting",
    "UnknownAccount",
    "UpstreamRefused",
    "UpstreamTimeout",
    "WrongLoop",
    "WxTokenError",
    "WxTokenMiddleware",
]

_ROOMS = {
    "Account": "records",
    "Budget": "charges",
    "Client": "clients",
    "CredentialStatistics": "status",
    "EarlyDeathEvent": "hooks",
    "ErrorEvent": "hooks",
    "JsConfig": "jssdk",
    "Statistics": "status",
    "TokenEvent": "hooks",
    "TokenManager": "manager",
    "WxTokenMiddleware": "middleware",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for.

    The pytest plugin is imported by every run of pytest, whatever it tests; it must not cost an HTTP client.
    """
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    room = importlib.import_module(f"{__name__}.{_ROOMS.get(name, 'errors')}")
    value = globals()[name] = getattr(room, name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
