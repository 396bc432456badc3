"""A service made of the resources a scenario names, asked over a socket and through STACK's proxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from stack_emu.scenario.loader import inspect_text
from stack_emu.upstreams.engine import UpstreamRequest
from stack_emu.upstreams.packs import find_pack
from stack_emu.vocabulary import vocabulary
from tests.upstreams.conftest import TOKEN, Bench, Proxied, Service

Serve = Callable[..., Service]
SCHEMA = {
    "type": "object",
    "required": ["title"],
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "minLength": 3},
        "state": {"enum": ["open", "closed"]},
        "priority": {"type": "integer", "minimum": 1},
        "labels": {"type": "object"},
    },
}
RESOURCES: Mapping[str, Any] = {
    "tickets": {
        "id": "T-",
        "schema": SCHEMA,
        "unique": ["title"],
        "read": ["tickets:read"],
        "write": ["tickets:write"],
        "items": [
            {"id": "T-1", "title": "First", "state": "open", "priority": 2},
            {"title": "Second", "state": "closed"},
        ],
    },
    "comments": {"parent": "tickets", "items": [{"id": "c1", "ticket_id": "T-1", "text": "Seen"}]},
}


def client(service: Service) -> httpx.Client:
    return httpx.Client(base_url=service.base_url, headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.fixture
def desk(serve: Serve) -> Service:
    return serve("resources", seed={"resources": RESOURCES})


def test_the_tour_drives_every_operation(desk: Service) -> None:
    with client(desk) as http:
        made = http.post("/tickets", json={"title": "Printer", "state": "open", "priority": 1})
        assert (made.status_code, made.headers["Location"]) == (201, f"/tickets/{made.json()['id']}")
        key = made.json()["id"]
        assert key.startswith("T-")
        read = http.get(f"/tickets/{key}")
        assert read.json() == made.json()
        assert http.get(f"/tickets/{key}", headers={"If-None-Match": read.headers["ETag"]}).status_code == 304
        changed = http.patch(f"/tickets/{key}", json={"state": "closed", "priority": None})
        assert (changed.json()["state"], "priority" in changed.json()) == ("closed", False)
        stale = http.put(f"/tickets/{key}", json={"title": "New"}, headers={"If-Match": read.headers["ETag"]})
        assert (stale.status_code, stale.json()["title"]) == (412, "Precondition Failed")
        fresh = {"If-Match": changed.headers["ETag"]}
        assert http.put(f"/tickets/{key}", json={"title": "New one"}, headers=fresh).json()["title"] == "New one"
        assert [one["id"] for one in http.get("/tickets", params={"sort": "-title"}).json()] == ["T-2", key, "T-1"]
        comment = http.post(f"/tickets/{key}/comments", json={"text": "Hello"}).json()
        assert comment["ticket_id"] == key
        path = f"/tickets/{key}/comments/{comment['id']}"
        assert http.get(path).json()["text"] == "Hello"
        assert http.patch(path, json={"text": "Bye"}).json()["text"] == "Bye"
        assert http.put(path, json={"text": "Again"}).json()["text"] == "Again"
        assert http.get(f"/tickets/T-1/comments/{comment['id']}").status_code == 404
        assert [one["text"] for one in http.get(f"/tickets/{key}/comments").json()] == ["Again"]
        assert http.delete(path).status_code == 204
        http.post(f"/tickets/{key}/comments", json={"text": "Orphan"})
        assert http.delete(f"/tickets/{key}").status_code == 204
        assert http.get(f"/tickets/{key}/comments").status_code == 404
        assert http.delete("/tickets/T-1").status_code == 204
    driven = {(one.method, one.route) for one in desk.entries if one.status is not None and one.status < 400}
    assert len(driven) == 12
    assert desk.unread() == set()


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"state": "open"}, ["T-1"]),
        ({"state": "open,closed"}, ["T-1", "T-2"]),
        ({"q": "SEC"}, ["T-2"]),
        ({"sort": "-title"}, ["T-2", "T-1"]),
        ({"sort": "priority"}, ["T-1", "T-2"]),
        ({"per_page": 1, "page": 2}, ["T-2"]),
    ],
)
def test_lists_are_filtered_searched_sorted_and_cut(desk: Service, query: dict[str, Any], ids: list[str]) -> None:
    with client(desk) as http:
        assert [one["id"] for one in http.get("/tickets", params=query).json()] == ids


def test_a_link_leads_from_page_to_page(desk: Service) -> None:
    with client(desk) as http:
        seen, url = [], "/tickets?per_page=1"
        while url:
            reply = http.get(url)
            seen += [one["id"] for one in reply.json()]
            url = reply.links.get("next", {}).get("url", "")
        assert (seen, reply.headers["X-Total-Count"]) == (["T-1", "T-2"], "2")


@pytest.mark.parametrize("paging", ["cursor", "offset"])
def test_other_ways_of_paging_and_an_envelope(serve: Serve, paging: str) -> None:
    seed = {
        "resources": {"things": {"items": [{"id": f"x{n}"} for n in range(5)]}},
        "paging": paging,
        "envelope": "data",
    }
    service = serve("resources", seed={**seed, "base_path": "/api/v1", "page_size": 2})
    seen: list[str] = []
    position: dict[str, Any] = {}
    with client(service) as http:
        for _ in range(3):
            page = http.get("/api/v1/things", params=position).json()
            seen += [one["id"] for one in page["data"]]
            position = {"cursor": page["next_cursor"]} if paging == "cursor" else {"offset": len(seen)}
    assert (seen, page["total"]) == (["x0", "x1", "x2", "x3", "x4"], 5)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/tickets", {"title": "x", "prioritty": 1}, 422, "#/title"),
        ("POST", "/tickets", {}, 422, "'title' is a required property"),
        ("PATCH", "/tickets/T-1", {"state": "new"}, 422, "#/state"),
        ("POST", "/tickets", {"title": "First"}, 409, "T-1 has the title 'First' already"),
        ("GET", "/tickets/T-9", None, 404, "There is no T-9 among the tickets"),
        ("POST", "/tickets/T-9/comments", {}, 404, "There is no T-9 among the tickets"),
        ("POST", "/tickets/T-1/archive", {}, 501, "does not serve POST /tickets/T-1/archive"),
    ],
)
def test_mistakes_are_told_as_problem_details(
    desk: Service, method: str, path: str, body: Any, status: int, said: str
) -> None:
    with client(desk) as http:
        refused = http.request(method, path, json=body)
    assert refused.status_code == status
    assert said in refused.text
    if status != 501:
        assert refused.headers["Content-Type"] == "application/problem+json"


def test_scopes_and_credentials_are_asked_for(serve: Serve) -> None:
    service = serve("resources", seed={"resources": RESOURCES}, scopes=("tickets:read",))
    with client(service) as http:
        assert http.get("/tickets").status_code == 200
        refused = http.post("/tickets", json={"title": "Third"})
        assert (refused.status_code, refused.json()["detail"]) == (403, "tickets.create needs the scope tickets:write.")
        assert http.get("/tickets", headers={"Authorization": "Bearer other"}).status_code == 401
    assert "add it to the scopes of that service" in str(service.entries[1].hint)


def test_the_short_form_works_through_the_proxy(proxied: Callable[..., Proxied]) -> None:
    upstream = proxied("resources", seed={"resources": {"tickets": {"id": "T-"}}}, hosts=["api.desk.test"])
    made = upstream.ask("POST", "https://api.desk.test/tickets", body={"title": "Through STACK"})
    assert made.status == 201
    assert upstream.ask("GET", f"https://api.desk.test/tickets/{made.body['id']}").body["title"] == "Through STACK"


def test_ids_do_not_depend_on_who_comes_first(bench: Callable[..., Bench]) -> None:
    def ids(order: list[str]) -> dict[str, str]:
        made = bench({"desk": {"hosts": ["desk.test"], "resources": {"tickets": {"id": "T-"}}}})
        request = {lane: UpstreamRequest.of_json("POST", "https://desk.test/tickets", {"by": lane}) for lane in order}
        return {lane: made.ask("desk", request[lane], lane).json()["id"] for lane in order}

    assert ids(["agent:a", "agent:b"]) == ids(["agent:b", "agent:a"])


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ("{}", "s.resources: resources names no resource"),
        ("{tickets: {idd: T-}}", "resources.tickets has no key 'idd'; did you mean id?"),
        ("{tickets: {schema: {type: 5}}}", "resources.tickets.schema is not a JSON Schema"),
        ("{tickets: {parent: x}}", "resources.tickets.parent is x, which is none of tickets"),
        ("{a: {parent: b}, b: {parent: a}}", "parent leads back to itself"),
        ("{tickets: {items: [5]}}", "s.resources.tickets.items[0]: resources.tickets.items[0] is not an object"),
        (
            "{tickets: {schema: {required: [title]}, items: [{}]}}",
            "does not hold to its schema: it 'title' is a required",
        ),
        ("{a: {}, b: {parent: a, items: [{}]}}", "does not say what it belongs to; add a_id"),
    ],
)
def test_a_mistake_in_the_short_form_is_told_where_it_is(resources: str, said: str) -> None:
    text = f"stack_emu: 1\nupstreams: {{s: {{hosts: [s.test], resources: {resources}}}}}\n"
    [problem] = [str(one) for one in inspect_text(text, "S", vocabulary()).problems]
    assert said in problem


def test_the_table_of_the_docs_has_what_every_resource_has() -> None:
    names = [row.name for row in find_pack("resources").operations]
    assert names == [f"<resource>.{name}" for name in ("list", "create", "read", "replace", "change", "delete")]
