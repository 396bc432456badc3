"""How one scenario text lies over another: mappings by key, things by their identity, other lists one behind the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from stack_emu.scenario.positions import Mark, Node
from stack_emu.scenario.problems import nearest

IDENTITIES: dict[str, tuple[str, ...]] = {
    "operators": ("id",),
    "keys": ("key",),
    "agents": ("id", "name"),
    "services": ("id", "name", "provider"),
    "missions": ("id",),
    "passports": ("id",),
    "skills": ("id", "name"),
    "fleets": ("id",),
    "clients": ("id",),
    "grants": ("agent",),
    "intents": ("name",),
}
"""The keys by which the entries of a list are told apart; the first that both entries have decides."""

DEFAULTS = {"operators": ("id", "op_emu")}
"""What an entry is called that does not say."""

FIRST_MATCH_WINS = {"model", "routes", "faults", "approvals", "detectors"}
"""Lists whose first match decides: the entries of the upper text stand in front."""

SHORT_FORMS = {"operator": "operators", "key": "keys", "agent": "agents", "service": "services"}
"""Short forms of lists with identity, by the key that stands for a list of one."""


@dataclass
class Merge:
    """One text laid over another.

    Args:
        replaced: paths whose value is taken from the upper text as a whole.
    """

    replaced: frozenset[str] = frozenset()
    used: set[str] = field(default_factory=set)

    def nodes(self, lower: Node, upper: Node, path: str = "", key: str = "") -> Node:
        """The two values as one; neither is changed."""
        if path in self.replaced:
            self.used.add(path)
            return upper
        if isinstance(lower.value, dict) and isinstance(upper.value, dict):
            return self._mappings(lower, upper, path)
        if isinstance(lower.value, list) and isinstance(upper.value, list):
            return self._lists(lower, upper, path, key)
        return upper

    def _mappings(self, lower: Node, upper: Node, path: str) -> Node:
        lower, upper = _same_form(lower, upper)
        merged = Node(dict(lower.value), upper.mark)
        merged.keys = dict(lower.keys)
        for key, value in upper.value.items():
            if key in lower.value:
                value = self.nodes(lower.value[key], value, f"{path}.{key}" if path else key, key)
            elif (f"{path}.{key}" if path else key) in self.replaced:
                self.used.add(f"{path}.{key}" if path else key)
            merged.value[key] = value
            merged.keys[key] = upper.keys[key]
        return merged

    def _lists(self, lower: Node, upper: Node, path: str, key: str) -> Node:
        if key in IDENTITIES:
            entries = self._by_identity(lower, upper, path, key)
        elif key in FIRST_MATCH_WINS:
            entries = [*upper.value, *lower.value]
        else:
            known = [entry.value for entry in lower.value if entry.text is not None]
            entries = [*lower.value, *(one for one in upper.value if one.text is None or one.value not in known)]
        return Node(entries, upper.mark)

    def _by_identity(self, lower: Node, upper: Node, path: str, key: str) -> list[Node]:
        entries = list(lower.value)
        for entry in upper.value:
            index = next((at for at, one in enumerate(entries[: len(lower.value)]) if same(one, entry, key)), None)
            if index is None:
                entries.append(entry)
            else:
                entries[index] = self.nodes(entries[index], entry, f"{path}.{names(entry, key)[0]}")
        return entries


def same(one: Node, other: Node, key: str) -> bool:
    """Whether two entries of a list are the same thing."""
    for name in IDENTITIES[key]:
        first, second = _identity(one, key, name), _identity(other, key, name)
        if first is not None and second is not None:
            return first == second
    return False


def names(entry: Node, key: str) -> list[str]:
    """What an entry of a list is called, its id first; an empty text when it has no name."""
    found = [name for identity in IDENTITIES.get(key, ()) if (name := _identity(entry, key, identity)) is not None]
    return found or [""]


def drop(root: Node, path: str) -> tuple[Node, str | None]:
    """The text without what stands at a path such as `faults` or `agents.scribe`.

    Args:
        root: the text.
        path: keys and, in lists of things, their ids or names.

    Returns:
        the rest, and a sentence when there is nothing at the path.
    """
    return _without(root, path.split("."), "", "")


def _without(node: Node, steps: list[str], key: str, path: str) -> tuple[Node, str | None]:
    if isinstance(node.value, dict):
        named = {name: name for name in node.value}
        named.update({plural: short for short, plural in SHORT_FORMS.items() if short in node.value})
    elif isinstance(node.value, list):
        named = {name: index for index, one in enumerate(node.value) for name in names(one, key) if name}
    else:
        named = {}
    # A name may itself have dots in it: the longest that fits is meant.
    for size in range(len(steps), 0, -1):
        name = ".".join(steps[:size])
        if name in named:
            break
    else:
        close = nearest(steps[0], named)
        before = f"{path}." if path else ""
        hint = f"did you mean {before}{close}?" if close else "remove the entry, or name something the scenario has"
        return node, f"there is no {before}{'.'.join(steps)} to drop; {hint}"
    step, rest = named[name], steps[size:]
    kept = Node(dict(node.value) if isinstance(node.value, dict) else list(node.value), node.mark)
    kept.keys = dict(node.keys)
    if rest:
        inner, sentence = _without(node.value[step], rest, name, f"{path}.{name}" if path else name)
        kept.value[step] = inner
        return kept, sentence
    del kept.value[step]
    kept.keys.pop(str(step), None)
    return kept, None


def _identity(entry: Node, key: str, name: str) -> str | None:
    if not isinstance(entry.value, dict):
        return None
    found = entry.value.get(name)
    if found is not None and isinstance(found.value, str):
        return found.value
    return DEFAULTS[key][1] if key in DEFAULTS and DEFAULTS[key][0] == name else None


def _same_form(lower: Node, upper: Node) -> tuple[Node, Node]:
    """Both with the plural, where one says `operators` and the other `operator`, or both the singular."""
    for short, plural in SHORT_FORMS.items():
        if not all(short in node.value or plural in node.value for node in (lower, upper)):
            continue
        if short in lower.value and short in upper.value and same(lower.value[short], upper.value[short], plural):
            continue
        lower, upper = _plural(lower, short, plural), _plural(upper, short, plural)
    return lower, upper


def _plural(node: Node, short: str, plural: str) -> Node:
    # An entry with text only, such as the agent of a grant or the key of a key, is no short form.
    if short not in node.value or plural in node.value or not isinstance(node.value[short].value, dict):
        return node
    changed = Node({}, node.mark)
    for key, value in node.value.items():
        name = plural if key == short else key
        changed.value[name] = Node([value], value.mark) if key == short else value
        changed.keys[name] = node.keys.get(key, Mark(0, 0))
    return changed
