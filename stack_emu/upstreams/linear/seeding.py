"""The state a fake Linear begins with, from the scenario's ``seed``; ids left out are derived from the world's seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import count
from typing import Any

from stack_emu.kernel.clock import iso
from stack_emu.kernel.near_words import close_matches
from stack_emu.kernel.world import World
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.linear.call import WORKSPACE, uuid_of
from stack_emu.upstreams.linear.issues import PRIORITIES, slug_of
from stack_emu.upstreams.rest_pack import check_keys

SEED_KEYS: Mapping[str, str] = {
    "organization": "{name, urlKey}",
    "viewer": "name of the user every connection acts as; the first user when left out",
    "users": "names, or {name, id, displayName, email, admin, active}",
    "teams": "each {name, key, id, states, members, cycles}; a state is {name, type, id}, a cycle {number, startsAt, endsAt, id}",
    "labels": "names, or {name, id, color, team}",
    "projects": "each {name, id, teams, description, state}",
    "issues": "each {title, team, number, id, description, state, priority, assignee, labels, project, cycle, dueDate, "
    "estimate, comments}; a comment is a text",
}
"""What a seed may hold, for people."""

_LISTS = ("users", "teams", "labels", "projects", "issues")
_KEYS = {
    "organization": ("name", "urlKey"),
    "users": ("name", "id", "displayName", "email", "admin", "active"),
    "teams": ("name", "key", "id", "states", "members", "cycles"),
    "labels": ("name", "id", "color", "team"),
    "projects": ("name", "id", "teams", "description", "state"),
    "issues": (
        *("title", "team", "number", "id", "description", "state", "priority", "assignee"),
        *("labels", "project", "cycle", "dueDate", "estimate", "comments"),
    ),
}
STATES = (
    ("Backlog", "backlog"),
    ("Todo", "unstarted"),
    ("In Progress", "started"),
    ("In Review", "started"),
    ("Done", "completed"),
    ("Canceled", "canceled"),
    ("Duplicate", "duplicate"),
)
"""Names and types of the states of a team that names none."""

STATE_TYPES = ("triage", "backlog", "unstarted", "started", "completed", "canceled", "duplicate")
PROJECT_STATUSES = ("backlog", "planned", "started", "paused", "completed", "canceled")
_BEGINNING_MS = 1_764_547_200_000


def check_seed(seed: Mapping[str, Any]) -> None:
    """Refuse a seed that cannot work.

    Raises:
        ValueError: one sentence that says which part is wrong and what to write.
    """
    check_keys("seed", seed, tuple(SEED_KEYS))
    if "organization" in seed:
        check_keys("seed.organization", seed["organization"], _KEYS["organization"])
    for name in _LISTS:
        if not isinstance(seed.get(name, []), (list, tuple)):
            raise ValueError(f"seed.{name} is not a list; write one item per line.")
    everything = {name: list(_items(seed, name)) for name in _LISTS}
    for name, items in everything.items():
        for place, item in items:
            check_keys(place, item, _KEYS[name])
            _check_text(place, item, "title" if name == "issues" else "name")
    names = {name: [item["name"] for _, item in everything[name]] for name in ("users", "labels", "projects")}
    names["users"] = names["users"] or ["Ada"]
    names["teams"] = [key_of(item) for _, item in everything["teams"]] or ["ENG"]
    for what, listed in names.items():
        double = next((one for one in listed if listed.count(one) > 1), None)
        if double is not None:
            raise ValueError(f"seed.{what} has {double!r} twice; give each its own.")
    _known("seed.viewer", seed.get("viewer"), names["users"])
    for place, team in everything["teams"]:
        _check_team(place, team, names["users"])
    for place, label in everything["labels"]:
        _known(f"{place}.team", label.get("team"), names["teams"])
    for place, project in everything["projects"]:
        _known(f"{place}.state", project.get("state"), PROJECT_STATUSES)
        for one in project.get("teams", ()):
            _known(f"{place}.teams", one, names["teams"])
    _check_issues(everything["issues"], {key_of(item): item for _, item in everything["teams"]}, names)


def _check_text(place: str, item: Mapping[str, Any], key: str) -> None:
    if not isinstance(item.get(key), str) or not item[key].strip():
        raise ValueError(f"{place} has no {key}; give it one, as text.")


def _check_issues(
    issues: Sequence[tuple[str, Any]], teams: Mapping[str, Mapping[str, Any]], names: Mapping[str, list[str]]
) -> None:
    taken: set[tuple[str, int]] = set()
    for number, (place, issue) in enumerate(issues, 1):
        key = issue.get("team", names["teams"][0])
        team = teams.get(key, {"name": key})
        _known(f"{place}.team", key, names["teams"])
        _known(f"{place}.state", issue.get("state"), [one["name"] for one in states_of(team)])
        _known(f"{place}.cycle", issue.get("cycle"), [one["number"] for one in team.get("cycles", ())])
        _known(f"{place}.assignee", issue.get("assignee"), names["users"])
        _known(f"{place}.project", issue.get("project"), names["projects"])
        for one in issue.get("labels", ()):
            _known(f"{place}.labels", one, names["labels"])
        _check_values(place, issue)
        mark = (key, issue.get("number", number))
        if mark in taken:
            raise ValueError(f"{place}.number {mark[1]} is taken in {key}; give each issue its own.")
        taken.add(mark)


def _check_team(place: str, team: Mapping[str, Any], users: Sequence[str]) -> None:
    for number, state in enumerate(team.get("states", ())):
        check_keys(f"{place}.states[{number}]", state, ("name", "type", "id"))
        if "name" not in state:
            raise ValueError(f"{place}.states[{number}] has no name; give it one, as text.")
        _known(f"{place}.states[{number}].type", state.get("type", ""), STATE_TYPES)
    for number, cycle in enumerate(team.get("cycles", ())):
        check_keys(f"{place}.cycles[{number}]", cycle, ("number", "name", "startsAt", "endsAt", "id"))
        for key in ("number", "startsAt", "endsAt"):
            if key not in cycle:
                raise ValueError(f"{place}.cycles[{number}] has no {key}; dates are written 2026-01-31.")
    for one in team.get("members", ()):
        _known(f"{place}.members", one, users)


def _check_values(place: str, issue: Mapping[str, Any]) -> None:
    if issue.get("priority", 0) not in range(len(PRIORITIES)):
        raise ValueError(f"{place}.priority is {issue['priority']!r}; write 0 (none), 1 (urgent) to 4 (low).")
    number = issue.get("number", 1)
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"{place}.number is {number!r}; write a whole number from 1.")
    if "dueDate" in issue:
        try:
            date.fromisoformat(str(issue["dueDate"]))
        except ValueError:
            raise ValueError(f"{place}.dueDate is {issue['dueDate']!r}; write a date such as 2026-01-31.") from None


def _known(place: str, value: Any, known: Sequence[Any]) -> None:
    if value is None or value in known:
        return
    near = close_matches(str(value), [str(one) for one in known], 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(map(str, known)) or 'none'}."
    raise ValueError(f"{place} names {value!r}, which there is not; {hint}")


def _items(seed: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    for number, item in enumerate(seed.get(name, ())):
        yield f"seed.{name}[{number}]", {"name": item} if isinstance(item, str) and name != "issues" else item


def key_of(team: Mapping[str, Any]) -> str:
    """The key of a team: what it names, or the first three letters of its name."""
    return str(team.get("key") or "".join(filter(str.isalnum, team["name"]))[:3].upper())


def states_of(team: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The states of a team: those it names, or the usual ones."""
    return team.get("states") or [{"name": name, "type": kind} for name, kind in STATES]


class Seeding:
    """Writes a seed.

    Args:
        world: the world.
        upstream: name of the upstream.
    """

    def __init__(self, world: World, upstream: str) -> None:
        self._world, self._upstream = world, upstream
        self._ticks = count()

    def write(self, seed: Mapping[str, Any]) -> None:
        """Write the state of a checked seed."""
        organization = {"name": "Acme", "urlKey": "acme", **seed.get("organization", {})}
        given = [item for _, item in _items(seed, "users")] or [{"name": "Ada", "admin": True}]
        self.url_key = organization["urlKey"]
        users = {item["name"]: self._user(item) for item in given}
        self.viewer = users[seed.get("viewer") or given[0]["name"]]
        self._put("workspace", {**organization, "viewerId": self.viewer}, "organization", WORKSPACE)
        for place, kind in enumerate(PROJECT_STATUSES):
            status = {"name": kind.title(), "type": kind, "position": float(place), "color": "#bec2c8"}
            self._put("project_statuses", status, kind)
        teams = [item for _, item in _items(seed, "teams")] or [{"name": "Engineering", "key": "ENG"}]
        team_ids = {key_of(item): self._team(item, users) for item in teams}
        labels = {}
        for _, item in _items(seed, "labels"):
            fields = {"name": item["name"], "color": item.get("color", "#bec2c8"), "isGroup": False}
            links = {"teamId": team_ids.get(item.get("team", "")), "parentId": None, "creatorId": self.viewer}
            own = {"id": item["id"]} if "id" in item else {}
            labels[item["name"]] = self._put("labels", {**own, **fields, **links}, item["name"])
        projects = {item["name"]: self._project(item, team_ids) for _, item in _items(seed, "projects")}
        first = key_of(teams[0])
        for place, (_, item) in enumerate(_items(seed, "issues"), 1):
            named = {"users": users, "labels": labels, "projects": projects}
            self._issue({"team": first, "number": place, **item}, team_ids, named)

    def _put(self, collection: str, fields: Mapping[str, Any], subject: str, key: str | None = None) -> str:
        moment = iso(_BEGINNING_MS + 1000 * next(self._ticks))
        derived = uuid_of(self._world.key_bytes(f"linear.{collection}", f"{self._upstream}/{subject}"))
        document = {"id": derived, "createdAt": moment, "updatedAt": moment, "archivedAt": None, **fields}
        stored = key or document["id"]
        Collection(self._world.store, self._upstream, collection).put(stored, document)
        return str(document["id"])

    def _user(self, item: Mapping[str, Any]) -> str:
        name = item["name"]
        display = item.get("displayName") or slug_of(name).replace("-", ".")
        usual = {"displayName": display, "email": f"{display}@{self.url_key}.test", "active": True, "admin": False}
        fixed = {
            "isAssignable": True,
            "isMentionable": True,
            "url": f"https://linear.app/{self.url_key}/profiles/{display}",
        }
        return self._put("users", {**usual, **fixed, **item}, name)

    def _team(self, item: Mapping[str, Any], users: Mapping[str, str]) -> str:
        key = key_of(item)
        fields = {name: value for name, value in item.items() if name not in ("states", "members", "cycles")}
        members = [users[one] for one in item.get("members", users)]
        team = self._put("teams", {**fields, "key": key, "memberIds": members, "displayName": item["name"]}, key)
        states = []
        for place, state in enumerate(states_of(item)):
            document = {"position": float(place), "color": "#bec2c8", **state, "teamId": team}
            states.append((self._put("states", document, f"{key}/{state['name']}"), state["type"]))
        default = next((one for one, kind in states if kind in ("backlog", "unstarted")), states[0][0])
        Collection(self._world.store, self._upstream, "teams").change(team, defaultIssueStateId=default)
        for cycle in item.get("cycles", ()):
            dates = {name: f"{cycle[name]}T00:00:00.000Z" for name in ("startsAt", "endsAt")}
            self._put("cycles", {**cycle, **dates, "teamId": team}, f"{key}/{cycle['number']}")
        return team

    def _project(self, item: Mapping[str, Any], teams: Mapping[str, str]) -> str:
        state = item.get("state", "backlog")
        statuses = Collection(self._world.store, self._upstream, "project_statuses").all()
        slug = self._world.key_bytes("linear.slug", f"{self._upstream}/{item['name']}").hex()[:12]
        fields = {
            "description": "",
            "color": "#bec2c8",
            "priority": 0,
            "priorityLabel": PRIORITIES[0],
            "memberIds": [],
            "creatorId": self.viewer,
            **item,
            "state": state,
            "statusId": next(one["id"] for one in statuses if one["type"] == state),
            "teamIds": [teams[one] for one in item.get("teams", teams)],
            "slugId": slug,
            "url": f"https://linear.app/{self.url_key}/project/{slug_of(item['name'])}-{slug}",
        }
        fields.pop("teams", None)
        return self._put("projects", fields, item["name"])

    def _issue(self, item: Mapping[str, Any], teams: Mapping[str, str], named: Mapping[str, Mapping[str, str]]) -> None:
        store, upstream = self._world.store, self._upstream
        team_id = teams[item["team"]]
        team = Collection(store, upstream, "teams").get(team_id)
        assert team is not None
        states = [one for one in Collection(store, upstream, "states").all() if one["teamId"] == team_id]
        cycles = [one for one in Collection(store, upstream, "cycles").all() if one["teamId"] == team_id]
        state = next((one for one in states if one["name"] == item.get("state")), None)
        cycle = next((one["id"] for one in cycles if one["number"] == item.get("cycle")), None)
        identifier, slug = f"{item['team']}-{item['number']}", slug_of(item["title"])
        kept = {name: item[name] for name in ("id", "title", "number", "description", "estimate") if name in item}
        priority = item.get("priority", 0)
        author = Collection(store, upstream, "users").get(self.viewer) or {}
        kind = state["type"] if state else ""
        moment = iso(_BEGINNING_MS)
        fields = {
            **kept,
            "identifier": identifier,
            "teamId": team_id,
            "creatorId": self.viewer,
            "assigneeId": named["users"].get(item.get("assignee", "")),
            "projectId": named["projects"].get(item.get("project", "")),
            "cycleId": cycle,
            "parentId": None,
            "stateId": state["id"] if state else team["defaultIssueStateId"],
            "labelIds": [named["labels"][one] for one in item.get("labels", ())],
            "subscriberIds": [self.viewer],
            "priority": priority,
            "priorityLabel": PRIORITIES[priority],
            "dueDate": str(item["dueDate"]) if "dueDate" in item else None,
            "startedAt": moment if kind in ("started", "completed") else None,
            "completedAt": moment if kind == "completed" else None,
            "canceledAt": moment if kind in ("canceled", "duplicate") else None,
            "sortOrder": -float(item["number"]),
            "prioritySortOrder": -float(item["number"]),
            "sharedAccess": {"isShared": False},
            "url": f"https://linear.app/{self.url_key}/issue/{identifier}/{slug}",
            "branchName": f"{slug_of(author['displayName'])}/{identifier.lower()}-{slug}",
        }
        issue = self._put("issues", fields, identifier)
        Collection(store, upstream, "identifiers").put(identifier, {"id": issue})
        for place, text in enumerate(item.get("comments", ())):
            links = {"body": str(text), "issueId": issue, "parentId": None, "userId": self.viewer}
            self._put("comments", {**links, "url": f"{fields['url']}#comment"}, f"{identifier}/{place}")
