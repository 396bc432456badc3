"""The less usual forms of collections: ids within a parent, offsets, pages from 0, alternatives, and what is beside things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.upstreams.conftest import Service
from tests.upstreams.openapi.conftest import HERE, Judge

Made = Callable[..., tuple[Service, httpx.Client, Judge]]
TEAMS = HERE / "teams.yaml"
MEMBERS = {
    "members": [
        *({"team": "red", "handle": name, "active": name != "bob"} for name in ("ada", "bob", "cy")),
        {"team": "blue", "handle": "ada", "address": {"city": "Lund"}},
    ]
}


def test_ids_that_clients_choose_count_within_what_they_belong_to(made: Made) -> None:
    _, http, judge = made(TEAMS, MEMBERS)
    assert http.get("/teams/blue/members/ada").json() == {
        "handle": "ada",
        "active": True,
        "team": "blue",
        "address": {"city": "Lund", "country": "SE"},
    }
    assert http.post("/teams/green/members", json={"handle": "ada"}).json()["team"] == "green"
    taken = http.post("/teams/red/members", json={"handle": "ada"})
    assert (taken.status_code, taken.json()["error"]) == (409, "There is a ada among the members already.")
    assert http.delete("/teams/red/members/ada").json() == {"gone": True}
    assert http.get("/teams/red/members/ada").status_code == 404
    assert http.get("/teams/blue/members/ada").status_code == 200
    assert len(judge.judged) == 4


def test_an_offset_leads_through_an_envelope_that_allows_nothing_else(made: Made) -> None:
    _, http, _ = made(TEAMS, MEMBERS)
    first = http.get("/teams/red/members").json()
    assert first == {
        "members": [{"handle": "ada", "active": True}, {"handle": "bob", "active": False}],
        "offset": 0,
        "count": 3,
        "next_offset": 2,
    }
    rest = http.get("/teams/red/members", params={"offset": first["next_offset"]}).json()
    assert ([one["handle"] for one in rest["members"]], rest["next_offset"]) == (["cy"], None)
    away = http.get("/teams/red/members", params={"active": "false"}).json()
    assert [one["handle"] for one in away["members"]] == ["bob"]


def test_pages_count_from_0_where_the_document_says_so(made: Made) -> None:
    _, http, judge = made(TEAMS)
    numbers = [http.post("/log").json()["number"] for _ in range(3)]
    assert all(100 <= number <= 999 for number in numbers)
    assert all("origin" in one for one in http.get("/log").json()), "what is only required is there too"
    pages = [[one["number"] for one in http.get("/log", params={"page": n, "size": 2}).json()] for n in range(3)]
    assert pages == [numbers[:2], numbers[2:], []]
    assert len(judge.judged) == 7


def test_a_change_is_merged_and_a_patch_of_operations_is_not_served(made: Made) -> None:
    service, http, _ = made(TEAMS, MEMBERS)
    changed = http.patch("/teams/blue/members/ada", json={"address": {"zip": "22100"}}).json()
    assert changed["address"] == {"city": "Lund", "country": "SE", "zip": "22100"}
    assert "address" not in http.patch("/teams/blue/members/ada", json={"address": None}).json()
    kind = {"Content-Type": "application/json-patch+json"}
    refused = http.patch("/teams/blue/members/ada", content=b'[{"op": "remove", "path": "/active"}]', headers=kind)
    assert (refused.status_code, service.entries[-1].problem) == (501, "unmatched")
    assert "send a merge patch, or add a route" in str(service.entries[-1].hint)


def test_what_is_beside_a_thing_is_there_when_the_thing_is(made: Made) -> None:
    _, http, _ = made(TEAMS, MEMBERS)
    assert http.get("/teams/red/members/cy/avatar").headers["Content-Type"] == "image/png"
    assert http.get("/teams/red/members/di/avatar").status_code == 404
    assert http.head("/teams/red/members/cy").status_code == 200
    assert http.head("/teams/red/members/di").status_code == 404


@pytest.mark.parametrize(
    ("sent", "field", "said"),
    [
        ({"contact": {"mail": "x"}}, "body.contact.mail", 'is "x", which is no email; write ada@example.com'),
        ({"contact": {"fax": "1"}}, "body.contact.fax", "is no field it has; there are: mail"),
        ({"address": {}}, "body.address.city", "is missing; it is required"),
    ],
)
def test_mistakes_fill_a_map_of_fields_where_the_document_has_one(
    made: Made, sent: dict[str, Any], field: str, said: str
) -> None:
    _, http, _ = made(TEAMS)
    refused = http.post("/teams/red/members", json={"handle": "x", **sent}).json()
    assert refused["errors"][field] == [said]
    assert f"{field} {said}" in refused["error"]


def test_alternatives_are_kept_as_they_were_sent(made: Made) -> None:
    _, http, _ = made(TEAMS)
    for number, contact in enumerate(({"mail": "a@b.test"}, {"phone": "1"})):
        path = f"/teams/red/members/m{number}"
        assert http.post("/teams/red/members", json={"handle": f"m{number}", "contact": contact}).status_code == 201
        assert http.get(path).json()["contact"] == contact
