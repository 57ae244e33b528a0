"""The token center for WeChat accounts, as a pure ASGI middleware."""

from wxtoken_asgi.errors import (
    BadUrl,
    BudgetSpent,
    ConfigError,
    HostNotAllowed,
    NoSuchCredential,
    NotReady,
    StoreError,
    StoreFormatError,
    TooManyWaiting,
    UnknownAccount,
    UpstreamRefused,
    UpstreamTimeout,
    WrongLoop,
    WxTokenError,
)
from wxtoken_asgi.hooks import ErrorEvent, TokenEvent
from wxtoken_asgi.jssdk import JsConfig
from wxtoken_asgi.manager import TokenManager
from wxtoken_asgi.middleware import WxTokenMiddleware
from wxtoken_asgi.records import Account
from wxtoken_asgi.status import CredentialStatistics, Statistics

__version__ = "0.1.0"

__all__ = [
    "Account",
    "BadUrl",
    "BudgetSpent",
    "ConfigError",
    "CredentialStatistics",
    "ErrorEvent",
    "HostNotAllowed",
    "JsConfig",
    "NoSuchCredential",
    "NotReady",
    "Statistics",
    "StoreError",
    "StoreFormatError",
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
