"""The record of what the sandbox was asked."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One call that reached the sandbox.

    Attributes:
        path: what was asked.
        appid: the account that it was about, or None if that is not known.
        errcode: what was answered; 0 for success, None where no WeChat answer went out.
        at: seconds of sandbox time.
        forced: whether it asked for a forced refresh.
        issued: whether it made WeChat issue a new token, answered or not.
        fault: the kind of the fault that it met, or None.
    """

    path: str
    appid: str | None
    errcode: int | None
    at: float
    forced: bool
    issued: bool
    fault: str | None = None


class Ledger:
    """The last million calls, and the number of all."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=1_000_000)
        self._counts: Counter[tuple[str, str | None, int | None]] = Counter()

    def add(self, call: Call) -> None:
        """Enter a call."""
        self._calls.append(call)
        self._counts[call.path, call.appid, call.errcode] += 1

    def calls(self) -> list[Call]:
        """The calls, oldest first."""
        return list(self._calls)

    def count(self, path: str | None = None, appid: str | None = None) -> int:
        """How many calls there were, of one path or account if given."""
        return sum(
            number
            for (of_path, of_appid, _), number in list(self._counts.items())
            if path in {None, of_path} and appid in {None, of_appid}
        )

    def by_path(self, appid: str | None = None) -> dict[str, dict[str, int]]:
        """Counts by path and errcode (`"none"` where no WeChat answer went out), of one account if given."""
        table: dict[str, dict[str, int]] = {}
        for (path, of_appid, errcode), number in list(self._counts.items()):
            if appid not in {None, of_appid}:
                continue
            row = table.setdefault(path, {})
            word = "none" if errcode is None else str(errcode)
            row[word] = row.get(word, 0) + number
        return table
