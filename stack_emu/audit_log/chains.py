"""Hash chains, and from what is left of a broken one, what was done to it.

A row links to the hash recorded by the row before it in its lane. Everything here is decided from links, recorded hashes
and the hashes that contents really have; the rules are those of ``docs/audit-format.md``, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stack_emu.audit_log.verdicts import DELETED, EDITED, FORKED, INSERTED, REHASHED, SWAPPED, Break
from stack_emu.kernel.audit import GENESIS


@dataclass(frozen=True)
class Link:
    """A row as its chain sees it.

    Args:
        line: where it stands.
        lane: its lane, or in a raw log its account.
        prev: the hash it links to.
        recorded: the hash written in it.
        own: the hash its content has.
        n: its number in the lane, or None in a raw log, which has no numbers.
        entry_id: its id in a raw log.
    """

    line: int
    lane: str
    prev: object
    recorded: object
    own: str
    n: object = None
    entry_id: str | None = None

    @property
    def intact(self) -> bool:
        """Whether its content has the hash written in it."""
        return self.own == self.recorded

    def broken(self, kind: str, sentence: str) -> Break:
        """A break at this row."""
        number = self.n if type(self.n) is int else None
        return Break(kind, self.line, sentence, self.lane, number, self.entry_id)


def label_bytes(lane: str) -> bytes:
    """What lanes are sorted by."""
    return lane.encode("utf-8", "surrogatepass")


def first_break(links: Sequence[Link], ends: Mapping[str, object] | None, *, numbered: bool) -> Break | None:
    """The first break of the chains in a file, or None when every row stands where its link says.

    Args:
        links: the rows in the order of the file.
        ends: the hash of the last row of each lane, as the log's head has them; None when it has no head.
        numbered: whether this is a canonical log: rows are numbered, lanes sorted and kept together, and begin with 64
            zeros. The first link of a raw log is taken as given.
    """
    if _holds(links, numbered=numbered):
        return None
    return _Evidence(links, ends, numbered=numbered).first_break()


def _holds(links: Iterable[Link], *, numbered: bool) -> bool:
    heads: dict[str, object] = {}
    counts: dict[str, int] = {}
    current: str | None = None
    for link in links:
        lane = link.lane
        if numbered and lane != current:
            if lane in heads or (current is not None and label_bytes(lane) < label_bytes(current)):
                return False
            current = lane
        due = counts.get(lane, 0)
        if link.own != link.recorded or (numbered and (type(link.n) is not int or link.n != due)):
            return False
        if link.prev != heads.get(lane, GENESIS if numbered else link.prev):
            return False
        heads[lane] = link.recorded
        counts[lane] = due + 1
    return True


class _Evidence:
    """Everything that is known of the rows of a file whose chains do not hold."""

    def __init__(self, links: Sequence[Link], ends: Mapping[str, object] | None, *, numbered: bool) -> None:
        self._links = links
        self._ends = ends
        self._numbered = numbered
        self._lanes: dict[str, list[Link]] = {}
        self._position: dict[int, int] = {}
        self._recorded: dict[object, list[Link]] = {}
        self._linked: set[object] = set((ends or {}).values())
        for link in links:
            lane = self._lanes.setdefault(link.lane, [])
            self._position[id(link)] = len(lane)
            lane.append(link)
            self._recorded.setdefault(link.recorded, []).append(link)
            self._linked.add(link.prev)

    def first_break(self) -> Break | None:
        moved = self._moved()
        if moved is not None:
            return moved
        current: str | None = None
        seen: set[str] = set()
        for link in self._links:
            if not link.intact:
                return self._altered(link)
            if self._numbered and link.lane != current:
                if link.lane in seen or (current is not None and label_bytes(link.lane) < label_bytes(current)):
                    return link.broken(SWAPPED, f"its lane is {link.lane}, whose rows belong above those of {current}")
                current = link.lane
                seen.add(link.lane)
            found = self._misplaced(link)
            if found is not None:
                return found
        return None

    def _before(self, link: Link) -> Link | None:
        position = self._position[id(link)]
        return self._lanes[link.lane][position - 1] if position else None

    def _after(self, link: Link) -> Link | None:
        lane, position = self._lanes[link.lane], self._position[id(link)] + 1
        return lane[position] if position < len(lane) else None

    def _due(self, link: Link) -> object:
        """The hash this row has to link to, where it stands."""
        before = self._before(link)
        if before is not None:
            return before.recorded
        return GENESIS if self._numbered else link.prev

    def _goes_on_without(self, link: Link) -> bool:
        """Whether the chain holds on when this row is taken out."""
        after, due = self._after(link), self._due(link)
        if after is not None:
            return after.prev == due
        return self._ends is not None and self._ends.get(link.lane) == due

    # --- the whole of it in another order -------------------------------------------------------------------------------

    def _moved(self) -> Break | None:
        """The first row out of order, when every row is there and intact and only their order is wrong."""
        if not all(link.intact for link in self._links):
            return None
        ordered = self._by_number() if self._numbered else self._by_links()
        if ordered is None:
            return None
        for stands, belongs in zip(self._links, ordered, strict=True):
            if stands is not belongs:
                return stands.broken(
                    SWAPPED, f"it stands where the row on line {belongs.line} belongs; all rows are there and unchanged"
                )
        return None

    def _by_number(self) -> list[Link] | None:
        numbers = [(label_bytes(link.lane), link.n, link) for link in self._links if type(link.n) is int]
        if len(numbers) != len(self._links):
            return None
        ordered = [link for _, _, link in sorted(numbers, key=lambda item: item[:2])]
        last = {link.lane: link.recorded for link in ordered}
        if not _holds(ordered, numbered=True) or (self._ends is not None and dict(self._ends) != last):
            return None
        return ordered

    def _by_links(self) -> list[Link] | None:
        """The rows in the order of their links, those of an account at the places the account's rows have."""
        chains: dict[str, list[Link]] = {}
        for lane, links in self._lanes.items():
            following = {link.prev: link for link in links}
            hashes = {link.recorded for link in links}
            starts = [link for link in links if link.prev not in hashes]
            if len(following) != len(links) or len(starts) != 1:
                return None
            chain: list[Link] = []
            link: Link | None = starts[0]
            while link is not None and len(chain) < len(links):
                chain.append(link)
                link = following.get(link.recorded)
            if len(chain) != len(links):
                return None
            chains[lane] = chain
        return [chains[link.lane][self._position[id(link)]] for link in self._links]

    # --- a row whose content has another hash --------------------------------------------------------------------------

    def _altered(self, link: Link) -> Break:
        if link.own in self._linked:
            return link.broken(EDITED, "the hash written in it was changed: what follows links to the one it had")
        if any(other.intact for other in self._recorded[link.recorded]):
            [other, *_] = [other for other in self._recorded[link.recorded] if other.intact]
            return link.broken(INSERTED, f"it carries the hash of the row on line {other.line}, which is not its own")
        if link.recorded in self._linked:
            return link.broken(EDITED, "it was edited after it was hashed: what follows still links to the hash it had")
        if self._goes_on_without(link):
            return link.broken(INSERTED, "its hash is not that of its content, and the chain goes on without it")
        return link.broken(EDITED, "its content does not have the hash written in it, and nothing links to it any more")

    # --- an intact row in the wrong place -------------------------------------------------------------------------------

    def _misplaced(self, link: Link) -> Break | None:
        due = self._due(link)
        number_due = self._position[id(link)]
        numbered_right = not self._numbered or (type(link.n) is int and link.n == number_due)
        if link.prev == due:
            if numbered_right:
                return None
            return link.broken(
                REHASHED, f"its hashes hold, but it is number {link.n} of its lane where {number_due} was due"
            )
        twins = [other for other in self._recorded[link.recorded] if other is not link]
        if twins:
            return link.broken(INSERTED, f"it repeats the row on line {twins[0].line}")
        return self._rival(link) or self._gap(link, numbered_right=numbered_right)

    def _rival(self, link: Link) -> Break | None:
        """Two rows with one link; or a beginning behind another row."""
        before = self._before(link)
        earlier = [other for other in self._lanes[link.lane][: self._position[id(link)]] if other.prev == link.prev]
        if not earlier:
            if link.prev == GENESIS and before is not None:
                first = self._lanes[link.lane][0]
                return first.broken(INSERTED, f"the chain begins behind it, on line {link.line}")
            return None
        rival = earlier[0]
        if rival is before and rival.recorded not in self._linked and link.recorded in self._linked:
            return rival.broken(
                INSERTED, f"nothing links to it, and the row on line {link.line} links past it to the row before it"
            )
        return link.broken(
            FORKED, f"it links to the same row as the row on line {rival.line}: the chain goes on twice from there"
        )

    def _gap(self, link: Link, *, numbered_right: bool) -> Break:
        """A row that links to nothing before it."""
        before = self._before(link)
        if link.recorded not in self._linked and self._goes_on_without(link):
            return link.broken(INSERTED, "it links to no row before it, and the chain goes on without it")
        later = [other for other in self._recorded.get(link.prev, []) if other.line > link.line]
        if later:
            return link.broken(SWAPPED, f"it was chained behind the row that stands on line {later[0].line}")
        if link.prev in self._recorded:
            other = self._recorded[link.prev][0]
            return link.broken(EDITED, f"it was hashed anew: it links to line {other.line}, not to the row before it")
        if not self._numbered:
            where = f"between line {before.line if before else link.line} and line {link.line}"
            return link.broken(
                DELETED,
                f"the hash it links to is no row's: a row is missing {where}, or was rewritten and hashed anew, or the "
                "export was narrowed by a filter",
            )
        if not numbered_right:
            return link.broken(DELETED, self._missing(link, before))
        if before is None:
            return link.broken(EDITED, "it was hashed anew: the first row of a lane links to 64 zeros")
        return before.broken(
            EDITED, f"it was edited and hashed anew: the row on line {link.line} still links to the hash it had"
        )

    def _missing(self, link: Link, before: Link | None) -> str:
        due = self._position[id(link)]
        if type(link.n) is not int or link.n <= due:
            return f"the hash it links to is no row's, and it is number {link.n} of its lane where {due} was due"
        count = link.n - due
        rows = "a row is" if count == 1 else f"{count} rows are"
        place = "before it" if before is None else f"between line {before.line} and it"
        return f"{rows} missing {place}: the hash it links to is no row's, and its lane's number {due} is not there"
