"""A world: one isolated universe of state, time, ids, audit rows and journal."""

from __future__ import annotations

import heapq
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from stack_emu.kernel.acts import Act, LaneWatch, RowDraft, scan_names
from stack_emu.kernel.audit import ActEntry, AuditImage, AuditLog, RowHash
from stack_emu.kernel.canonical import digest
from stack_emu.kernel.changes import Changes
from stack_emu.kernel.clock import Clock
from stack_emu.kernel.errors import Fault
from stack_emu.kernel.faults import FaultRules
from stack_emu.kernel.ids import Derivation, derive, seed_bytes
from stack_emu.kernel.journal import Journal, Redactor
from stack_emu.kernel.store import Store, StoreImage

ACT, LANE, MINTED = "act", "lane", "minted"
"""What a world counts: acts of a key, acts of a lane, and (as a depth) the names that acts made."""

LAST_MS = 253_402_300_799_999
"""The last instant that can be printed: the end of the year 9999."""


@dataclass(frozen=True)
class Timer:
    """Something that happens at an instant, in the lane of the act that armed it.

    Args:
        id: unique; arming again with the same id moves the timer.
        at_ms: epoch milliseconds.
        kind: names the handler.
        lane: lane of the arming act.
        operator_id: whose chain its rows go on.
        payload: what the handler needs, JSON data.
    """

    TABLE: ClassVar[str] = "timers"
    INDEXES: ClassVar[tuple[str, ...]] = ()
    id: str
    at_ms: int
    kind: str
    lane: str
    operator_id: str
    payload: Mapping[str, Any] = field(default_factory=dict)


class TimerError(Exception):
    """Timers failed while the clock was moved.

    Args:
        failed: each timer that failed, with what its handler raised.
    """

    def __init__(self, *failed: tuple[Timer, Exception]) -> None:
        named = ", ".join(f"{timer.id} ({type(error).__name__})" for timer, error in failed)
        super().__init__(f"timers failed and stay armed: {named}")
        self.failed = failed


@dataclass(frozen=True)
class WorldImage:
    """A picture of a world that ``World.restore`` returns to."""

    store: StoreImage
    audit: AuditImage
    act_counts: dict[str, int]
    lane_counts: dict[str, int]
    minted: dict[str, int]
    clock_moved_ms: int


# A handler works inside the timer's own act; a runner makes acts of its own.
TimerHandler = Callable[["World", Act, Timer], None]


class World:
    """State, clock, seed, audit, journal and fault rules of one universe. Worlds share nothing.

    Args:
        name: its name in ``/w/<name>`` URLs; ``default`` answers at the root.
        seed: everything derived starts here.
        clock: real or virtual.
        row_hash: formula of the raw audit chain.
        tick_ms: spacing of time stamps inside a lane under a virtual clock.
    """

    def __init__(
        self, name: str, seed: int | str | bytes, clock: Clock, row_hash: RowHash, *, tick_ms: int = 0
    ) -> None:
        self.name = name
        self.seed = seed_bytes(seed)
        self.clock = clock
        self.tick_ms = tick_ms if clock.virtual else 0
        self.store = Store()
        self.audit = AuditLog(row_hash)
        self.redactor = Redactor()
        self.journal = Journal(self.redactor)
        self.faults = FaultRules(self.seed)
        self.lanes = LaneWatch()
        self.timer_handlers: dict[str, TimerHandler] = {}
        self.timer_runners: dict[str, Callable[[World, Timer], None]] = {}
        self.settings: dict[str, Any] = {}
        self.complete_row: Callable[[str, RowDraft], None] = lambda operator_id, draft: None
        self.limit: Callable[[Any, Any], None] = lambda caller, command: None
        self.owns: Callable[[str, str], bool] = lambda operator_id, agent_id: True
        self.names_of: Callable[[str], tuple[str, ...]] = lambda agent_id: (agent_id,)
        self.on_act: list[Callable[[ActEntry], None]] = []
        self.on_handled: list[Callable[[Any], None]] = []  # each is given the context of an act, in its transaction
        self.on_restore: list[Callable[[], None]] = []
        self.on_fire: list[Callable[[Timer], None]] = []  # each is given a timer that has fired
        self.save: Callable[[], None] = lambda: None
        self.changes: Changes | None = None
        self.act_moments = array("Q")  # for each act of the log, how much was in the journal when it was committed
        self._act_counts: dict[str, int] = {}
        self._lane_counts: dict[str, int] = {}
        self._minted: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._timer_now: int | None = None

    # --- time -------------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The world's instant in epoch milliseconds; while a timer fires, the instant it was due."""
        return self._timer_now if self._timer_now is not None else self.clock.now_ms()

    def arm(self, timer: Timer) -> None:
        """Set a timer, or move it when its id is armed already."""
        self.store.put(timer)
        heapq.heappush(self._heap, (timer.at_ms, timer.id))

    def disarm(self, timer_id: str) -> None:
        """Drop a timer; dropping what is not armed is no error."""
        if self.store.get(Timer, timer_id) is not None:
            self.store.delete(Timer, timer_id)

    def next_due(self) -> Timer | None:
        """The timer that is due next, or None."""
        while self._heap:
            at_ms, timer_id = self._heap[0]
            timer = self.store.get(Timer, timer_id)
            if timer is not None and timer.at_ms == at_ms:
                return timer
            heapq.heappop(self._heap)
        return None

    def next_due_ms(self) -> int | None:
        """When the next timer is due, in epoch milliseconds, or None."""
        timer = self.next_due()
        return timer.at_ms if timer is not None else None

    def fire_due(self) -> int:
        """Fire every timer that is due, in order of (instant, id); returns how many fired.

        Raises:
            Exception: what the first handler raised that failed; its timer stays armed, the others have fired.
        """
        failed: list[tuple[Timer, Exception]] = []
        fired = self._fire_all(failed)
        self._arm_again(failed)
        if failed:
            raise failed[0][1]
        return fired

    def _fire_all(self, failed: list[tuple[Timer, Exception]]) -> int:
        """Fire what is due; timers that fail are added to ``failed`` and wait for nothing until they are armed again."""
        fired = 0
        while (due := self.next_due_ms()) is not None and due <= self.clock.now_ms():
            _, timer_id = heapq.heappop(self._heap)
            timer = self.store.get(Timer, timer_id)
            if timer is None:
                continue
            try:
                self._fire(timer)
                fired += 1
                for listener in self.on_fire:
                    listener(timer)
            except Exception as error:  # one broken timer must not stop the world's time
                failed.append((timer, error))
        return fired

    def _arm_again(self, failed: list[tuple[Timer, Exception]]) -> None:
        for timer, _ in failed:
            heapq.heappush(self._heap, (timer.at_ms, timer.id))

    def _fire(self, timer: Timer) -> None:
        self._timer_now = timer.at_ms
        try:
            if (runner := self.timer_runners.get(timer.kind)) is not None:
                self.store.delete(Timer, timer.id)
                try:
                    runner(self, timer)
                except Exception:
                    self.store.put(timer)
                    raise
                return
            act = self.begin_act(
                f"timer.{timer.kind}",
                timer.operator_id,
                timer.lane,
                {"timer": timer.id},
                RowDraft(timer.kind, "system"),
            )
            with self.transaction(act):
                self.store.delete(Timer, timer.id)
                self.timer_handlers[timer.kind](self, act, timer)
        finally:
            self._timer_now = None

    def advance(self, delta_ms: int) -> int:
        """Move the clock forward, stopping at every timer on the way; returns how many fired.

        Raises:
            ValueError: when ``delta_ms`` is negative, or leads beyond the year 9999.
            TimerError: when timers failed: they stay armed, the others have fired, and the clock stands where it was to go.
        """
        return sum(self.stops(delta_ms))

    def stops(self, delta_ms: int) -> Iterator[int]:
        """As ``advance``, one stop at a time: how many timers fired there. What they started can end before the next.

        Raises:
            ValueError: as for ``advance``, before the first stop.
            TimerError: as for ``advance``, after the last one.
        """
        if delta_ms < 0:
            raise ValueError(f"the clock only moves forward; {delta_ms} ms is negative")
        target = self.clock.now_ms() + delta_ms
        if target > LAST_MS:
            raise ValueError("the clock ends with the year 9999; move it less far")
        failed: list[tuple[Timer, Exception]] = []
        try:
            yield self._fire_all(failed)
            while (due := self.next_due_ms()) is not None and due <= target:
                self.clock.move(max(0, due - self.clock.now_ms()))
                yield self._fire_all(failed)
            self.clock.move(max(0, target - self.clock.now_ms()))
        finally:
            self._arm_again(failed)
        if failed:
            raise TimerError(*failed)

    # --- acts -------------------------------------------------------------------------------------------------------

    def begin_act(
        self,
        operation: str,
        operator_id: str,
        lane: str,
        logical_input: Mapping[str, Any],
        row: RowDraft,
        lane_suffix: str = "",
    ) -> Act:
        """Start an act: derive its key and take its ordinal.

        Args:
            operation: name of the operation, timer or control step.
            operator_id: whose chain the rows go on.
            lane: derivation lane without the suffix.
            logical_input: validated input, tokens replaced by their jti, volatile fields left out.
            row: the principal row.
            lane_suffix: text a client asked to be appended to the lane label.
        """
        label = lane + lane_suffix
        key = digest({"operation": operation, "lane": label, "input": logical_input})
        ordinal = self._act_counts.get(key, 0)
        self._act_counts[key] = ordinal + 1
        self._counted(ACT, key)
        now_ms = self.now_ms()
        position = self._lane_counts.get(label, 0)
        depth = 1 + max(scan_names(logical_input, self._minted), scan_names(_lane_names(lane), self._minted))
        return Act(
            operation=operation,
            operator_id=operator_id,
            lane=label,
            key=key,
            ordinal=ordinal,
            depth=depth,
            now_ms=now_ms,
            stamp_ms=now_ms + position * self.tick_ms if self.tick_ms else now_ms,
            position=position,
            derivation=Derivation(self.seed, key, ordinal),
            row=row,
            lane_suffix=lane_suffix,
        )

    def abandon(self, act: Act) -> None:
        """Give an act's ordinal back: nothing of it is kept."""
        if self._act_counts.get(act.key) == act.ordinal + 1:
            self._act_counts[act.key] = act.ordinal
            self._counted(ACT, act.key)

    @contextmanager
    def transaction(self, act: Act, *, first: bool = True, last: bool = True) -> Iterator[Act]:
        """Run a step of an act against the undo log.

        Leaving normally commits state, ids and (when ``last``) rows together. A ``Fault`` undoes the state, keeps the act's
        principal row with the fault's code and goes on up. Any other exception undoes everything and goes on up.

        Args:
            act: the act.
            first: False for a later step: what earlier ones committed stays, so the act keeps its ordinal.
            last: False for the planning step of an act whose rows are written when it settles.
        """
        self.store.begin()
        try:
            yield act
        except Fault as fault:
            self.store.rollback()
            act.row.outcome = fault.spec.outcome
            act.row.error_code = fault.code
            act.row.error_message = self.redactor.text(fault.message)
            self._close(act, refused=True)
            raise
        except BaseException:
            self.store.rollback()
            if first:
                self.abandon(act)
            raise
        self.store.commit()
        if last:
            self._close(act, refused=False)

    def close(self, act: Act) -> None:
        """Write the rows of an act whose steps are all committed."""
        self._close(act, refused=False)

    def close_refused(self, act: Act, fault: Fault) -> None:
        """Write the row of an act that was refused but whose state is kept; call inside no transaction."""
        act.row.outcome = fault.spec.outcome
        act.row.error_code = fault.code
        act.row.error_message = self.redactor.text(fault.message)
        self._close(act, refused=False)

    def _close(self, act: Act, *, refused: bool) -> None:
        for name in act.minted:
            self._minted.setdefault(name, act.depth)
            self._counted(MINTED, name)
        rows = act.rows(refused, lambda draft: self.complete_row(act.operator_id, draft))
        self._lane_counts[act.lane] = self._lane_counts.get(act.lane, 0) + 1
        self._counted(LANE, act.lane)
        # Many acts have the same lane, and each has made its label anew.
        made = ActEntry(sys.intern(act.lane), 0, act.key, act.ordinal, act.depth, act.operation, rows, act.now_ms)
        entry = self.audit.append(made)
        self.act_moments.append(self.journal.written)
        for listener in self.on_act:
            listener(entry)

    def _counted(self, of: str, name: str) -> None:
        if self.changes is not None:
            self.changes.count(of, name)

    def key_bytes(self, kind: str, subject: str = "") -> bytes:
        """32 bytes derived from the seed alone: signing keys, scenario canaries."""
        return derive(self.seed, kind, subject, 0, 0)

    # --- pictures ---------------------------------------------------------------------------------------------------

    def track(self) -> Changes:
        """Keep book of what changes from now on."""
        self.changes = self.store.changes = self.changes or Changes()
        return self.changes

    def count(self, of: str, name: str) -> int:
        """A count by what it counts (``ACT``, ``LANE`` or ``MINTED``) and its name; 0 when nothing was counted."""
        return self._counts()[of].get(name, 0)

    def counts(self) -> Iterator[tuple[str, str, int]]:
        """Every count: what it counts, its name, its value."""
        for of, each in self._counts().items():
            for name, value in each.items():
                yield of, name, value

    def _counts(self) -> dict[str, dict[str, int]]:
        return {ACT: self._act_counts, LANE: self._lane_counts, MINTED: self._minted}

    def image(self) -> WorldImage:
        """A picture of state, rows, ids and time (not of the journal)."""
        return WorldImage(
            self.store.image(),
            self.audit.image(),
            dict(self._act_counts),
            dict(self._lane_counts),
            dict(self._minted),
            self.clock.moved_ms,
        )

    def restore(self, image: WorldImage) -> None:
        """Return to a picture, its instant too. The journal, the overlaps and the counts of fault rules start again."""
        self.clock.return_to(image.clock_moved_ms)
        self.store.restore(image.store)
        self.audit.restore(image.audit)
        self._act_counts = dict(image.act_counts)
        self._lane_counts = dict(image.lane_counts)
        self._minted = dict(image.minted)
        self.journal.clear()
        self.act_moments = array("Q", [self.journal.written]) * len(self.audit.acts())
        self.lanes.clear()
        self.faults.rewind()
        self._heap = [(timer.at_ms, timer.id) for timer in self.store.all(Timer)]
        heapq.heapify(self._heap)
        if self.changes is not None:
            self.changes.whole()
        for listener in self.on_restore:
            listener()


def _lane_names(lane: str) -> list[str]:
    return [part.partition(":")[2] for part in lane.split("/")]
