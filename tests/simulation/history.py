"""What the store has said of each record: no version goes back, no back-off and no ticket is cut short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import Claim, Commit, Fail, Granted, LastError, Record

EXACT_S = 0.1
"""No clock is quite as fast as true time."""

TICKET_S = 5.0
"""Nor over hours."""


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
        self._waits: dict[Credential, tuple[float, LastError, float]] = {}
        self._granted: dict[Credential, float] = {}
        self._tickets: dict[Credential, tuple[str | None, float]] = {}

    def booted(self) -> None:
        """A host began its clock anew: a file there knows of times by the clock on the wall alone."""
        self._waits.clear()
        self._tickets.clear()

    def stored(self, name: str, said: Any, answers: Any, now: float) -> None:
        """An operation was carried out."""
        if name not in {"read", "restore", "claim", "commit", "fail"}:
            return
        for one, answer in zip(said, answers, strict=True):
            record = answer if isinstance(answer, Record) else answer.record
            self._look(record)
            if record.credential.kind != "access_token":
                self._look_at_ticket(record, one, now)
            self._follow(name, one, answer, now)

    def _follow(self, name: str, said: Any, answer: Any, now: float) -> None:
        match name:
            case "restore":
                self._end(said.credential, said.version)
            case "claim":
                self._claimed(said, answer, now)
            case "commit":
                self._committed(said, now, taken=answer.taken)
            case "fail":
                self._failed(said, answer, now)

    def _look(self, record: Record) -> None:
        known = self._versions.get(record.credential, 0)
        if record.version < known:
            self._broken("P3", f"{record.credential} went back from version {known} to {record.version}")
        self._versions[record.credential] = record.version

    def _look_at_ticket(self, record: Record, said: Any, now: float) -> None:
        """Nothing but that it was found dead makes its life shorter; whoever proves it does not.

        What is given back to an emptied store is what one of them knew, and then what another did.
        """
        value, end = self._tickets.get(record.credential, (None, 0.0))
        excused = isinstance(said, Record) or (isinstance(said, Fail) and said.cut is not None)
        early = end - now - record.ttl_s
        if record.value == value is not None and early > TICKET_S and end > now and not excused:
            self._broken(
                "P1", f"the {record.credential.kind} {value[:9]} is to end {early:.0f} s sooner than before"
            )
        self._tickets[record.credential] = record.value, now + record.ttl_s

    def _end(self, credential: Credential, fence: int) -> None:
        self._ended[credential] = max(fence, self._ended.get(credential, 0))

    def _failed(self, fail: Fail, record: Record, now: float) -> None:
        """Only the first word on the latest lease counts."""
        if record.fence != fail.fence or self._ended.get(fail.credential, 0) >= fail.fence:
            return
        self._end(fail.credential, fail.fence)
        if fail.error is not None:
            granted = self._granted.get(fail.credential, now)
            self._waits[fail.credential] = (now + fail.wait_s, fail.error, granted)

    def _committed(self, commit: Commit, now: float, *, taken: bool) -> None:
        """A value has come: it may be asked for again. What was fetched before the failure is no such."""
        if not taken:
            return
        self._end(commit.credential, commit.fence)
        _, _, granted = self._waits.get(commit.credential, (0.0, None, 0.0))
        if commit.over_s is None or granted < now - commit.over_s + EXACT_S:
            self._waits.pop(commit.credential, None)

    def _claimed(self, claim: Claim, claimed: Any, now: float) -> None:
        if not isinstance(claimed, Granted):
            return
        self._granted[claim.credential] = now
        if claim.credential not in self._waits:
            return
        until, error, _ = self._waits[claim.credential]
        early = until - now
        if early > EXACT_S and error.fingerprint in {"", claim.fingerprint}:
            self._broken(
                "back-off", f"{claim.credential} may be fetched {early:.1f} s before its back-off ends"
            )
