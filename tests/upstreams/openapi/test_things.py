"""Things of a service made from a document: created, listed, read, changed and deleted over a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.upstreams.conftest import TOKEN, Bench, Proxied, Service
from tests.upstreams.openapi.conftest import CLINIC, Judge

Made = Callable[..., tuple[Service, httpx.Client, Judge]]
ITEMS = {
    "owners": [{"id": "own_ada", "name": "Ada", "secret": "s3cret"}, {"id": "own_bob", "name": "Bob"}],
    "pets": [{"name": f"Pet {n}", "species": "cat" if n % 2 else "dog", "ownerId": "own_ada"} for n in range(5)],
}


def test_what_is_created_is_there_and_has_what_the_document_promises(made: Made) -> None:
    _, http, judge = made(CLINIC)
    owner = http.post("/v1/owners", json={"name": "Cy", "email": "cy@x.test", "secret": "hush", "id": "own_mine"})
    assert owner.status_code == 201
    shown = owner.json()
    assert shown["id"].startswith("own_")
    assert shown["id"] != "own_mine", "clients do not choose what is read-only"
    assert shown == {
        "id": shown["id"],
        "name": "Cy",
        "email": "cy@x.test",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "plan": "free",
    }
    assert owner.headers["Location"] == f"/v1/owners/{shown['id']}"
    assert http.get(owner.headers["Location"]).json() == shown
    pet = http.post(f"{owner.headers['Location']}/pets", json={"name": "Rex", "species": "dog", "weight": 3.5})
    assert pet.json()["ownerId"] == shown["id"]
    assert pet.json()["born"] == "2026-01-01"
    assert 5 <= int(pet.headers["X-Rate-Left"]) <= 9
    key = pet.json()["id"]
    assert http.get(f"/v1/pets/{key}").json() == pet.json(), "it is the same pet at its other path"
    changed = http.patch(
        f"/v1/pets/{key}",
        content=b'{"tag": null, "weight": null}',
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert (changed.json()["tag"], "weight" in changed.json()) == (None, False)
    assert http.post(f"/v1/pets/{key}/adopt").json() == changed.json()
    assert http.delete(f"/v1/pets/{key}").json() == changed.json()
    assert http.get(f"/v1/pets/{key}").status_code == 404
    assert len(judge.judged) == 7


def test_what_is_replaced_keeps_what_clients_do_not_write(made: Made) -> None:
    service, http, _ = made(CLINIC, ITEMS)
    before = http.get("/v1/owners/own_ada").json()
    service.world.clock.move(60_000)
    after = http.put("/v1/owners/own_ada", json={"name": "Ada L.", "created_at": "1999-01-01T00:00:00Z"}).json()
    assert after == {**before, "name": "Ada L.", "updated_at": "2026-01-01T00:01:00Z"}
    new = http.put("/v1/owners/own_new", json={"name": "New"})
    assert (new.status_code, new.json()["id"]) == (201, "own_new")
    assert [one["id"] for one in http.get("/v1/owners").json()] == ["own_ada", "own_bob", "own_new"]


def test_deleting_takes_what_belongs_to_it_along(made: Made) -> None:
    _, http, _ = made(CLINIC, ITEMS)
    pet = http.get("/v1/owners/own_ada/pets").json()["data"][0]["id"]
    assert http.get("/v1/owners/own_bob/pets").json()["data"] == []
    assert http.delete("/v1/owners/own_ada").status_code == 204
    assert http.get("/v1/owners/own_ada/pets").status_code == 404
    assert http.get(f"/v1/pets/{pet}").status_code == 404


def test_a_cursor_leads_through_the_envelope_the_document_declares(made: Made) -> None:
    _, http, judge = made(CLINIC, ITEMS)
    seen: list[str] = []
    query: dict[str, Any] = {}
    for _ in range(3):
        page = http.get("/v1/owners/own_ada/pets", params=query).json()
        seen += [one["name"] for one in page["data"]]
        assert page["meta"]["total"] == 5
        assert page["meta"]["has_more"] is (len(seen) < 5)
        query = {"cursor": page["meta"]["next_cursor"]}
    assert seen == [f"Pet {n}" for n in range(5)]
    assert query == {"cursor": None}
    cats = http.get("/v1/owners/own_ada/pets", params={"species": "cat,axolotl", "limit": 50}).json()
    assert [one["name"] for one in cats["data"]] == ["Pet 1", "Pet 3"]
    assert len(judge.judged) == 4


def test_pages_with_links_and_things_in_a_wrapping(made: Made) -> None:
    _, http, judge = made(CLINIC)
    for number in range(5):
        visit = http.post("/v1/visits", json={"visit": {"reason": f"r{number}", "at": "2026-02-01T10:00:00Z"}}).json()[
            "visit"
        ]
        assert isinstance(visit["id"], int)
        assert http.get(f"/v1/visits/{visit['id']}").json() == {"visit": visit}
    seen, url = [], "/v1/visits?per_page=2"
    while url:
        reply = http.get(url)
        seen += [one["reason"] for one in reply.json()["visits"]]
        assert reply.json().get("next", "") == reply.links.get("next", {}).get("url", "")
        assert reply.headers["X-Total-Count"] == "5"
        url = reply.json().get("next", "")
    assert (seen, len(judge.judged)) == ([f"r{number}" for number in range(5)], 13)


def test_lists_that_nothing_can_be_added_to_begin_with_the_document_s_example(made: Made) -> None:
    _, http, _ = made(CLINIC)
    assert [one["code"] for one in http.get("/v1/breeds").json()] == ["akita", "manx"]
    assert http.get("/v1/breeds/manx").json() == {"code": "manx", "species": "cat"}
    assert http.get("/v1/breeds/pug").status_code == 404
    _, http, _ = made(CLINIC, {"breeds": [{"code": "pug", "species": "dog"}]})
    assert [one["code"] for one in http.get("/v1/breeds").json()] == ["pug"]


def test_literal_paths_beat_parameters_and_examples_are_served(made: Made) -> None:
    service, http, _ = made(CLINIC, ITEMS)
    assert http.get("/v1/pets/search").json() == {"hits": 3}
    assert service.entries[-1].route == "/v1/pets/search"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/v1/owners", {"name": "x"}, 400, "body.name has 1 characters; it must have at least 2"),
        ("POST", "/v1/owners", {"name": "xx", "email": "no"}, 400, 'body.email is "no", which is no email; write ada@'),
        ("POST", "/v1/owners", None, 400, "body is missing; send one as application/json"),
        ("PUT", "/v1/owners/1", {"name": "xx"}, 400, 'path.ownerId is "1"; it must match ^own_'),
        ("POST", "/v1/owners/own_ada/pets", {"name": "R", "species": "dgo"}, 400, 'use one of "dog", "cat", "axolotl"'),
        ("POST", "/v1/owners/own_ada/pets", {}, 400, "body.species is missing; it is required"),
        (
            "POST",
            "/v1/owners/own_no/pets",
            {"name": "R", "species": "dog"},
            404,
            "There is no own_no among the owners.",
        ),
        (
            "GET",
            "/v1/owners/own_ada/pets?limit=abc",
            None,
            400,
            'query.limit is "abc"; it must be a whole number such as',
        ),
        ("GET", "/v1/owners/own_ada/pets?limit=0", None, 400, "query.limit is 0; it must be at least 1"),
        ("GET", "/v1/owners/own_no", None, 404, "There is no own_no among the owners."),
    ],
)
def test_mistakes_are_told_in_the_document_s_own_words(
    made: Made, method: str, path: str, body: Any, status: int, said: str
) -> None:
    _, http, _ = made(CLINIC, ITEMS)
    refused = http.request(method, path, json=body)
    assert (refused.status_code, said in refused.json().get("detail", refused.json().get("message"))) == (
        status,
        True,
    ), refused.text
    if "pets" in path and status == 400 and method == "POST":
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.json()["status"] == 400
        assert refused.json()["errors"][0]["pointer"].startswith("body.")


def test_an_unknown_field_is_told_with_the_one_that_was_meant_or_reported_as_unread(made: Made) -> None:
    service, http, _ = made(CLINIC, ITEMS)
    pet = http.get("/v1/owners/own_ada/pets?sort=name").json()["data"][0]["id"]
    refused = http.patch(
        f"/v1/pets/{pet}", content=b'{"nmae": "x"}', headers={"Content-Type": "application/merge-patch+json"}
    )
    assert "body.nmae is no field it has; did you mean name?" in refused.text
    kept = http.post("/v1/owners", json={"name": "Di", "colour": "red"}).json()
    assert "colour" not in kept
    assert service.unread() == {"/v1/owners colour", "/v1/owners/{ownerId}/pets query.sort"}


def test_what_the_document_has_not_is_refused_with_the_nearest(made: Made) -> None:
    service, http, _ = made(CLINIC, ITEMS)
    refused = http.delete("/v1/owners").json()["error"]
    assert "Clinic's fake does not serve DELETE /v1/owners: the document has GET, POST there" in refused["message"]
    assert refused["details"]["nearest"].startswith(("listOwners (GET /v1/owners)", "deleteOwner"))
    assert http.get("/owners").status_code == 501, "the server's path is part of every path"
    assert [entry.problem for entry in service.entries] == ["unmatched", "unmatched"]


def test_credentials_are_asked_for_where_the_document_does(made: Made, serve: Callable[..., Service]) -> None:
    service, http, _ = made(CLINIC, ITEMS, scopes=())
    assert http.get("/v1/health", headers={"Authorization": ""}).text == "up"
    assert http.get("/v1/owners", headers={"Authorization": ""}).status_code == 401
    assert http.get("/v1/owners").status_code == 200
    refused = http.get("/v1/pets/search")
    assert (refused.status_code, refused.json()["message"]) == (403, "searchPets needs the scope pets:search.")
    assert "add it to the scopes of that service" in str(service.entries[-1].hint)
    odd = http.get("/v1/owners", headers={"Authorization": TOKEN})
    assert odd.json()["message"] == "Send Authorization: Bearer …."
    assert service.entries[-1].hint == "GET /owners needs Authorization: Bearer …, and the request has none of it."


def test_routes_come_first_and_faults_hit_through_the_proxy(proxied: Callable[..., Proxied], tmp_path: Any) -> None:
    (tmp_path / "clinic.yaml").write_bytes(CLINIC.read_bytes())
    upstream = proxied(
        "openapi",
        openapi="clinic.yaml",
        hosts=["eu.clinic.test"],
        seed=ITEMS,
        routes=[{"when": {"path": "/v1/pets/search"}, "reply": {"json": {"hits": 9}}}],
    )
    root = "https://eu.clinic.test/v1"
    assert upstream.ask("GET", f"{root}/pets/search").body == {"hits": 9}
    made = upstream.ask("POST", f"{root}/owners", body={"name": "Through STACK"})
    assert made.status == 201
    assert upstream.ask("GET", f"{root}/owners/{made.body['id']}").body["name"] == "Through STACK"
    upstream.world.faults.add(on={"upstream": "openapi", "path": "/v1/owners"}, inject={"status": 503})
    assert upstream.ask("GET", f"{root}/owners").status == 503
    assert upstream.ask("GET", f"{root}/nothing").status == 501


def test_ids_and_values_follow_from_the_call_whoever_comes_first(bench: Callable[..., Bench]) -> None:
    from stack_emu.upstreams.engine import UpstreamRequest

    def made_by(order: list[str], seed: int = 7) -> dict[str, Any]:
        desk = bench({"c": {"hosts": ["c.test"], "openapi": str(CLINIC)}}, seed=seed)
        headers = {"Authorization": "Bearer x"}
        sent = {
            lane: UpstreamRequest.of_json("POST", "https://c.test/v1/owners", {"name": lane}, headers) for lane in order
        }
        return {lane: desk.ask("c", sent[lane], lane).json() for lane in order}

    assert made_by(["agent:a", "agent:b"]) == made_by(["agent:b", "agent:a"])
    assert made_by(["agent:a"]) != made_by(["agent:a"], seed=8)
