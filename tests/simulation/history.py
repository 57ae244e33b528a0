"""What the store has said of each record: no version goes back, and no back-off is cut short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import Claim, Commit, Fail, Granted, LastError, Record

EXACT_S = 0.1
"""No clock is quite as fast as true time."""


class History:
    """Follows what is said to the store, and what it answers.

    Args:
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, broken: Callable[[str, str], None]) -> None:
        self._broken = broken
        self.forget()

    def forget(self) -> None:
        """The store was emptied."""
        self._versions: dict[Credential, int] = {}
        self._ended: dict[Credential, int] = {}
        self._waits: dict[Credential, tuple[float, LastError]] = {}

    def booted(self) -> None:
        """A host began its clock anew: a file there knows of back-offs by the clock on the wall alone."""
        self._waits.clear()

    def stored(self, name: str, said: Any, answers: Any, now: float) -> None:
        """An operation was carried out."""
        if name not in {"read", "restore", "claim", "commit", "fail"}:
            return
        for one, answer in zip(said, answers, strict=True):
            record = answer if isinstance(answer, Record) else answer.record
            self._look(record)
            self._follow(name, one, answer, now)

    def _follow(self, name: str, said: Any, answer: Any, now: float) -> None:
        match name:
            case "restore":
                self._end(said.credential, said.version)
            case "claim":
                self._claimed(said, answer, now)
            case "commit":
                self._committed(said, taken=answer.taken)
            case "fail":
                self._failed(said, answer, now)

    def _look(self, record: Record) -> None:
        known = self._versions.get(record.credential, 0)
        if record.version < known:
            self._broken("P3", f"{record.credential} went back from version {known} to {record.version}")
        self._versions[record.credential] = record.version

    def _end(self, credential: Credential, fence: int) -> None:
        self._ended[credential] = max(fence, self._ended.get(credential, 0))

    def _failed(self, fail: Fail, record: Record, now: float) -> None:
        """Only the first word on the latest lease counts."""
        if record.fence != fail.fence or self._ended.get(fail.credential, 0) >= fail.fence:
            return
        self._end(fail.credential, fail.fence)
        if fail.error is not None:
            self._waits[fail.credential] = (now + fail.wait_s, fail.error)

    def _committed(self, commit: Commit, *, taken: bool) -> None:
        if not taken:
            return
        self._end(commit.credential, commit.fence)
        self._waits.pop(commit.credential, None)

    def _claimed(self, claim: Claim, claimed: Any, now: float) -> None:
        waits = self._waits.get(claim.credential)
        if waits is None or not isinstance(claimed, Granted):
            return
        until, error = waits
        early = until - now
        if early > EXACT_S and error.fingerprint in {"", claim.fingerprint}:
            self._broken(
                "back-off", f"{claim.credential} may be fetched {early:.1f} s before its back-off ends"
            )
