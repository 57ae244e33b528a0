"""What must hold at every step; each broken promise is written down."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from wxtoken_asgi.errors import WxTokenError
from wxtoken_asgi.stores.contract import Claim, Commit, Committed, Granted

from simulation.answers import Answers
from simulation.calm import Calm
from simulation.claims import Claims
from simulation.doubts import Doubts
from simulation.goings import Goings
from simulation.history import History
from simulation.kernel import HOT_S, HOT_TASKS, Process
from simulation.lapses import Lapses
from simulation.lives import Lives
from simulation.news import News
from simulation.order import Order
from simulation.quotas import Quotas
from simulation.spans import COMPARED_S, HEARD_S, INF, met
from simulation.spared import Spared
from simulation.unleased import Unleased

if TYPE_CHECKING:
    from simulation.wechat import Call
    from simulation.workers import Worker
    from simulation.world import World

PROVED_S = 1900.0
"""A ticket is proved every 10 to 30 minutes."""

READ_S, REFRESH_S = 5.0, 12.0
AT_ONCE = 5000
OVERLAP_S = 300.0
BELIEVED_S = 60.0
"""A value that is given back to an emptied store may be late by more than its margin."""

EARLY_S = 1.0
ASKED_S = 150.0
"""Who asked may find one holder of the lease after the other killed, and wait for each lease to end."""


class Watch:
    """The invariants.

    Args:
        world: what is watched.

    Attributes:
        violations: what was broken, in words.
        worst: the longest that a caller waited, by what it did.
        states: how often each state of a credential was seen.
        trace: a sum over all that the store and WeChat were asked, and when.
        history: what the store has said of each record.
        goings: whether processes begin and end in time.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.violations: list[str] = []
        self.history = History(self.broken)
        self.on_broken: Callable[[], None] = lambda: None
        self._order = Order(self.broken)
        self._claims = Claims(self.broken)
        self.worst: dict[str, float] = {"read": 0.0, "refresh": 0.0}
        self.states: dict[str, int] = {}
        self.trace = 0
        self._born: dict[tuple[str, str, str], float] = {}
        self._had: set[tuple[str, str, str]] = set()
        self._outside: dict[str, float] = {}
        self._asked_at: dict[tuple[str, str], float] = {}
        self._answers = Answers(world, self.broken)
        self._doubts = Doubts(world, self.broken)
        self._unleased = Unleased(world)
        self._quotas = Quotas(world, self.broken, self._unleased.untold)
        self.goings = Goings(world, self.broken)
        self._news = News(world, self.broken)
        self._spared = Spared(world, self.broken)
        self._lives = Lives(world, self.broken)
        self._lapses = Lapses(self.broken, Calm(world, self._outside), self._quotas.spent_unseen)
        self._tickets: dict[tuple[int, str], float] = {}
        self._moment = (0.0, 0)

    def _trace(self, what: object) -> None:
        now = trio.current_time()
        self.trace = zlib.crc32(f"{now:.9f} {what}".encode(), self.trace)
        since, count = self._moment
        self._moment = (now, count + 1) if since == now else (now, 1)
        if self._moment[1] == AT_ONCE:
            self.broken("hot loop", f"time does not go on: {what}")

    def broken(self, promise: str, what: str) -> None:
        self.violations.append(f"{promise} at {trio.current_time():.3f} s: {what}")
        self.on_broken()

    def hot(self, process: Process) -> None:
        """It begins task after task."""
        self.broken("hot loop", f"{process} begins {HOT_TASKS} tasks within {HOT_S:g} s")

    # excuses

    def outside(self, app: str) -> None:
        """Another program fetched this account's token."""
        self._outside[app] = trio.current_time()

    def _deaf(self, worker: Worker) -> bool:
        """Whether it may not have heard what others did: what another says late keeps nothing from it."""
        since, shelf = trio.current_time() - HEARD_S, self.world.shelf
        return worker.disturbed > since or any(
            met(spans, since, INF) for spans in (shelf.aways, shelf.late[worker.process])
        )

    # what callers see

    def looked(self, worker: Worker, entry: Any) -> None:
        """What was once held is replaced, and never taken away."""
        key = (worker.process.name, worker.world.app(entry.credential), entry.kind.name)
        if entry.held is not None:
            self._had.add(key)
        elif key in self._had:
            self.broken("P1", f"{worker} holds no {entry} any more")
        if entry.kind.name == "access_token" and self.world.account(key[1]).endpoint == "token":
            self._doubts.looked(worker, key[1], entry.held)

    def waited(self, worker: Worker, process: Any, what: str, seconds: float, begun: float) -> None:
        if worker.process is not process or worker.disturbed >= begun:
            return
        self.worst[what] = max(self.worst[what], seconds)
        if seconds > (READ_S if what == "read" else REFRESH_S) + 0.5:
            self.broken("waiting", f"a {what} at {worker} took {seconds:.2f} s")

    def refused(self, worker: Worker, app: str, kind: str, error: WxTokenError) -> None:
        self.world.tally.add(f"read refused: {type(error).__name__}")
        self._lapses.refused(worker, app, kind, error)

    def served(self, worker: Worker, tokens: Any, app: str, kind: str, held: Any) -> bool:
        """Whether the value served is dead."""
        self.world.tally.add("reads")
        self._lapses.served(app, kind)
        if kind == "jsapi_ticket":
            return self._served_ticket(worker, app, held)
        sandbox, now = self.world.sandbox, self.world.now()
        token = sandbox._wechat.token(held.value)
        if token is None:
            self.broken("P1", f"{worker} served a token of {app} that WeChat does not know")
            return True
        if now > token.end:
            self.broken("P1", f"{worker} served a token of {app} {now - token.end:.1f} s past its end")
        key = (worker.process.name, app, kind)
        if token.born < self._born.get(key, 0.0):
            self.broken("P3", f"{worker} served a token of {app} older than the one before")
        # What was fetched without a lease has no order: once the store is back, another may take its place.
        self._born[key] = 0.0 if held.unleased else token.born
        if now < token.dies:
            return False
        self.world.tally.add("dead reads")
        if not self._dead_excused(worker, app, token):
            late = now - token.dies
            self.broken("P1", f"{worker} served a token of {app} that died {late:.1f} s ago, unexcused")
        return True

    def _dead_excused(self, worker: Worker, app: str, token: Any) -> bool:
        born = self.world.true(token.born)
        if self._outside.get(app, -1.0) >= born or self._deaf(worker):
            return True
        if self.world.overlap == "strict":
            return True
        died = self.world.true(token.dies)
        if self._unleased.unheard(app, died - OVERLAP_S, worker.process):
            return True
        return any(died - 360 < wiped < died for wiped in self.world.shelf.wiped)

    def _served_ticket(self, worker: Worker, app: str, held: Any) -> bool:
        if self.world.sandbox.accepts_ticket(held.value):
            return False
        self.world.tally.add("dead ticket reads")
        since = trio.current_time() - PROVED_S
        outside = self._outside.get(app, -INF)
        if not self._was_rough(app, since) and max(worker.disturbed, outside) < since:
            self.broken("P1", f"{worker} served a ticket of {app} that WeChat has let go of")
        return True

    def believed(self, worker: Worker) -> None:
        """No worker takes a token for much younger than it is, whatever its clocks were set to."""
        tokens: Any = worker.tokens
        if tokens is None or not tokens.open:
            return
        for entry in tokens._registry.wanted:
            token = entry.held and self.world.sandbox._wechat.token(entry.held.value)
            if not token:
                continue
            left = entry.held.left(tokens.clock)
            more = left - (token.end - self.world.now())
            if left > 0 and more > BELIEVED_S:
                self.broken("P1", f"{worker} believes that {entry} lives {more:.0f} s longer than it does")

    def told(self, worker: Worker, app: str, kind: str, kept_s: float, due_in: float) -> None:
        """For how long a client may keep a value: a refresh dooms the token of the old endpoint."""
        doomed = kind == "access_token" and self.world.account(app).endpoint == "token"
        if doomed and kept_s > max(due_in, 0.0) + OVERLAP_S:
            self.broken("P1", f"{worker} lets a client keep a token of {app} for {kept_s:.0f} s")

    def kept(self, worker: Worker, app: str, kind: str, value: str, *, since: float, due_at: float) -> None:
        """A value that a client kept for as long as it was told to: WeChat must still take it."""
        self.world.tally.add("values kept")
        world, now = self.world, trio.current_time()
        if self.world.sandbox.accepts(value) or world.sandbox.accepts_ticket(value):
            return
        self.world.tally.add("values kept too long")
        if kind == "jsapi_ticket":
            if self._was_rough(app, since - PROVED_S):
                return  # nobody could ask WeChat whether it still lives
            self.broken("P1", f"a client of {worker} kept a ticket of {app} that died meanwhile")
            return
        token = world.sandbox._wechat.token(value)
        superseded = world.true(token.dies) - OVERLAP_S if token is not None else now
        asked = self._asked_at.get((app, kind), -INF) > since - 60
        if self._outside.get(app, -1.0) >= since - 600 or asked or world.overlap == "strict":
            return
        if superseded < due_at - 5 or self._was_rough(app, since - 60):
            return  # fetched early, for a reason that is counted elsewhere
        if met(world.shelf.untold[worker.process], since - COMPARED_S, since):
            return  # when it told the client, it did not know yet
        self.broken(
            "P1",
            f"a client of {worker} kept a token of {app} that died {now - superseded - OVERLAP_S:.0f} s ago",
        )

    def _was_rough(self, app: str, since: float) -> bool:
        """Whether there was trouble that may have hidden a new value."""
        world = self.world
        if world.shelf.outage is not None or world.way.away is not None or app in world.faults.refused:
            return True
        wiped = max(world.shelf.wiped, default=-INF)
        mended = world.faults.mended.get(app, -INF)
        return max(world.shelf.healthy_since, world.way.healthy_since, mended, wiped) >= since

    def wiped(self) -> None:
        """The store was emptied: it knows no lease that it gave before, and may begin anew below those."""
        self._order.forget()
        self._quotas.forget()
        self._lives.forget()
        self.history.forget()
        self._spared.wiped()

    def booted(self) -> None:
        """A host was booted: what a file there knows may count as ended."""
        self.history.booted()
        self._lives.forget()

    def answered(
        self, worker: Worker, app: str, value: str, *, dead: str | None, before: str, begun: float
    ) -> None:
        """Somebody asked for a new token, and this came of it."""
        asked = self._asked_at.get((app, "access_token"), -INF)
        if dead is None:
            self._answers.renewed(worker, app, value, before=before, begun=begun, asked=asked)
        else:
            self._answers.reported(worker, app, value, dead=dead, begun=begun, asked=asked)

    def refreshed(self, worker: Worker, app: str, kind: str) -> None:
        """Every other worker must know of it soon."""
        self._news.answered(worker, app, kind)

    # what the store sees

    def stored(self, worker: Worker, name: str, args: Any, answer: Any) -> None:
        if name in {"claiming", "claim heard"}:
            self._unleased.claimed(worker.process, args[0], answer)
            return
        self._trace((worker.number, name))
        self._quotas.stored(worker.process, name)
        self._spared.stored(name, args)
        self._doubts.stored(name, args[0] if args else (), answer)
        self.history.stored(name, args[0] if args else (), answer, trio.current_time())
        if name == "claim":
            for claim, claimed in zip(args[0], answer, strict=True):
                self._claimed(worker, claim, claimed)
        if name == "committing":
            for commit in args[0]:
                self._committing(worker, commit)
        if name == "commit":
            for commit, committed in zip(args[0], answer, strict=True):
                self._committed(worker, commit, committed)

    def _claimed(self, worker: Worker, claim: Claim, claimed: Any) -> None:
        self.world.tally.add(f"claims: {type(claimed).__name__}")
        key = (self.world.app(claim.credential), claim.credential.kind)
        asked = max(worker.asked.get(key, -INF), self._tickets.get((worker.number, key[0]), -INF))
        now = trio.current_time()
        if claim.asked and now - asked > ASKED_S and not worker.process.was_frozen(now - ASKED_S):
            self.broken("P8", f"{worker} claims {key} as asked for; nobody asked")
        self.goings.claimed(worker, key, claimed)
        self._claims.claimed(worker.process, key, now)
        if isinstance(claimed, Granted):
            self.world.tally.add("fetches")
            self._lapses.granted(worker, key, claimed.record, asked=claim.asked)
            again = self._order.granted(key, claimed.fence)
            if claim.asked:
                self._asked_at[key] = now
                self._quotas.granted(key, claim, claimed.fence)
            elif not again and claimed.record.good and claimed.record.ask_in_s > EARLY_S:
                # Not if the lease is its own: somebody may have restored a newer value since it began.
                self.broken("P2", f"{worker} may fetch {key}, which is fresh")

    def _committing(self, worker: Worker, commit: Commit) -> None:
        stopped = worker.process.was_frozen(trio.current_time() - HEARD_S)
        made = self._lives.committing(commit, stopped=stopped)
        if made and commit.credential.kind == "access_token":
            self._doubts.committing(commit)

    def _committed(self, worker: Worker, commit: Commit, committed: Committed) -> None:
        self.world.tally.add("commits" if committed.taken else "commits refused")
        key = (self.world.app(commit.credential), commit.credential.kind)
        if committed.taken:
            self._lives.committed(commit, committed.record)
            self._order.committed(worker, key, commit)

    # what WeChat sees

    def called(self, call: Call) -> None:
        """A call is about to reach WeChat."""
        now = trio.current_time()
        self._trace(call.key)
        account = self.world.by_appid.get(call.key[0])
        alone = account is not None and self._unleased.called(account, call)
        self._quotas.called(call, alone=alone)
        if account is not None:
            if not call.late:  # one that was decided before its process was stopped is no answer to the wipe
                key = (account.name, call.key[1])
                asked, outside = self._asked_at.get(key, -INF), self._outside.get(account.name, -1.0)
                self._spared.called(key, outside=outside, asked=asked)
            if call.key[1] == "jsapi_ticket":  # if it finds the token dead, it asks for another
                self._tickets[call.process.place, account.name] = now
            if alone:
                self._doubts.alone(account.name)
        self._look_for_another(call)

    def _look_for_another(self, call: Call) -> None:
        for other in reversed(self.world.way.calls):
            if other.begun < trio.current_time() - 20:
                return
            if other is not call and other.key == call.key and other.ended is None:
                self._two_at_once(call, other)

    def _two_at_once(self, call: Call, other: Call) -> None:
        now, shelf = trio.current_time(), self.world.shelf
        lost = max(shelf.lost.get(process, -INF) for process in (call.process, other.process))
        troubled = shelf.outage is not None or now - max(shelf.healthy_since, lost) < 60
        wiped = any(now - wiped < 60 for wiped in shelf.wiped)
        if troubled or wiped or other.process.was_frozen(now - 60) or call.process.was_frozen(now - 60):
            return
        self.broken("P2", f"two fetches of {call.key} at once: {other.process}, {call.process}")

    # at the end

    def sample(self) -> None:
        """What state each credential is in, at each worker."""
        for worker in self.world.workers:
            if not worker.up:
                self.states["worker away"] = self.states.get("worker away", 0) + 1
                continue
            self.believed(worker)
            tokens: Any = worker.tokens
            for entry in tokens._registry.wanted:
                state = entry.state(tokens.clock).value
                self.states[state] = self.states.get(state, 0) + 1
                self._lapses.sampled(worker, self.world.app(entry.credential), entry.kind.name, state)
            entries = tokens._registry.entries.values()
            tickets = sum(entry.parent is not None for entry in entries)  # their fetches wait for a token
            if tokens.statistics().waiting > self.world.callers + len(entries) + tickets + 1:
                self.broken("waiting", "more wait than there are callers")

    def agree(self) -> None:
        """All workers hold the same, and WeChat takes it."""
        for worker in self.world.workers:
            if not worker.up:
                self.broken("P4", f"{worker} is not up at the end")
        for app in self.world.apps:
            self._agree(app, "access_token", self.world.sandbox.accepts)
        for app in sorted(self.world.with_tickets):
            self._agree(app, "jsapi_ticket", self.world.sandbox.accepts_ticket)

    def _agree(self, app: str, kind: str, takes: Callable[[str], bool]) -> None:
        held = {}
        for worker in self.world.workers:
            if worker.up:
                tokens: Any = worker.tokens
                held[worker] = tokens.entry(app, kind).good(tokens.clock)
        versions = [value and value.version for value in held.values()]
        if len(set(versions)) != 1 or None in versions:
            self.broken("agree", f"the {kind} of {app}: {versions}")
        for worker, value in held.items():
            if value is not None and not takes(value.value):
                self.broken("P1", f"{worker} holds a {kind} of {app} at the end that WeChat does not take")
