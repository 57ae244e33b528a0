"""Everything that this package raises on purpose.

    WxTokenError
    ├── ConfigError              a setting is wrong; the message names the account and the field
    ├── UnknownAccount           no account has this name or appid
    ├── NoSuchCredential         the account can have no credential of this kind (a mini program's ticket)
    ├── NotReady                 nothing valid is held yet; `retry_in` says when to ask again
    │   ├── UpstreamTimeout      the last attempt timed out
    │   └── TooManyWaiting       so many callers wait already that this one is sent away
    ├── UpstreamRefused          WeChat said no; `errcode` is its own number
    ├── BudgetSpent              a rolling 24 h budget is used up
    ├── BadUrl                   the page address cannot be signed
    ├── HostNotAllowed           the page's host is not among the account's `js_domains`
    ├── WrongLoop                the manager is open in another event loop
    └── StoreError               the store cannot be reached or does not answer
        ├── StoreRefused         the store answers, but will not serve as it is set up, however long one waits
        └── StoreFormatError     the store holds records of a format that this version does not know

No message, `repr` or attribute holds an appsecret, a token or a ticket.
"""

from __future__ import annotations

LONGEST_APP = 64
"""No name and no appid is longer."""


class WxTokenError(Exception):
    """The root of all errors of this package.

    Attributes:
        code: a stable word for programs, the `code` of an HTTP error answer.
        status: the HTTP status under which the error is answered.
        retry_in: seconds after which asking again makes sense, or None.
        errcode: WeChat's own error number where WeChat said one, or None.
    """

    code = "error"
    status = 500
    errcode: int | None = None
    retry_in: float | None = None


class ConfigError(WxTokenError, ValueError):
    """A setting is wrong. The message is one line that names the account and the field."""

    code = "config"


class UnknownAccount(WxTokenError, LookupError):
    """No account has this name or appid."""

    code = "unknown_account"
    status = 404

    def __init__(self, app: str) -> None:
        # What is too long for a name may be a token in the wrong place; it is not repeated.
        named = f"is named {app!r}, nor has it as appid" if len(app) <= LONGEST_APP else "has such a name"
        super().__init__(f"no account {named}")
        self.app = app


class NoSuchCredential(WxTokenError):
    """The account can have no credential of this kind.

    Args:
        message: what cannot be had and why.
        account: the account's name.
        errcode: WeChat's number, where WeChat was asked.
    """

    code = "no_such_credential"
    status = 404

    def __init__(self, message: str, *, account: str, errcode: int | None = None) -> None:
        super().__init__(message)
        self.account = account
        self.errcode = errcode


class NotReady(WxTokenError):
    """Nothing valid is held, and none came within the time that the caller may wait.

    Args:
        message: what is missing and what was tried.
        account: the account's name.
        retry_in: seconds until the next attempt is due.
        errcode: WeChat's number, where its last answer had one.
    """

    code = "not_ready"
    status = 503

    def __init__(self, message: str, *, account: str, retry_in: float, errcode: int | None = None) -> None:
        super().__init__(message)
        self.account = account
        self.retry_in = retry_in
        self.errcode = errcode


class UpstreamTimeout(NotReady):
    """Nothing valid is held, and the last attempt to fetch timed out."""

    code = "upstream_timeout"
    status = 504


class TooManyWaiting(NotReady):
    """So many callers wait for a first value already that this one is sent away."""

    code = "too_many_waiting"


class UpstreamRefused(WxTokenError):
    """WeChat refuses, and asking again at once would not help.

    Args:
        message: what WeChat's number means and what an operator does.
        account: the account's name.
        errcode: WeChat's number.
        retry_in: seconds until the next attempt is due.
    """

    code = "upstream_refused"
    status = 502

    def __init__(self, message: str, *, account: str, errcode: int | None, retry_in: float) -> None:
        super().__init__(message)
        self.account = account
        self.errcode = errcode
        self.retry_in = retry_in


class BudgetSpent(WxTokenError):
    """A rolling 24 h budget of upstream calls is used up.

    Args:
        message: which budget, and how large it is.
        account: the account's name.
        retry_in: seconds until the budget has room again.
    """

    code = "budget_spent"
    status = 429

    def __init__(self, message: str, *, account: str, retry_in: float) -> None:
        super().__init__(message)
        self.account = account
        self.retry_in = retry_in


class BadUrl(WxTokenError, ValueError):
    """The page address cannot be signed; the message says why."""

    code = "bad_url"
    status = 400


class HostNotAllowed(WxTokenError):
    """The page's host is not among the account's `js_domains`."""

    code = "host_not_allowed"
    status = 403


class WrongLoop(WxTokenError, RuntimeError):
    """The manager is open in another event loop; each loop needs a manager of its own."""

    code = "wrong_loop"


class StoreError(WxTokenError):
    """The store cannot be reached, or did not answer in time."""

    code = "store_unavailable"
    status = 503
    retry_in = 1.0


class StoreRefused(StoreError):
    """The store answers, but waiting does not help: the password, a right, its certificate or its version."""


class StoreFormatError(StoreError):
    """The store holds a record of a format that this version does not know."""

    code = "store_format"
