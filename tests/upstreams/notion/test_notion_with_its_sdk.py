"""Every operation of the Notion pack, driven by notion-client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from notion_client import APIResponseError, AsyncClient, Client
from notion_client.errors import UnknownHTTPResponseError

from tests.upstreams.conftest import Service

KEY = "ntn_canary_of_notion"
HOME, TASKS, SOURCE = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")
SEED = {
    "users": [{"name": "Ada", "email": "ada@acme.test"}],
    "pages": [{"id": HOME, "title": "Home", "text": ["Hello", "World"]}],
    "databases": [
        {
            "id": TASKS,
            "data_source": SOURCE,
            "title": "Tasks",
            "properties": {
                "Name": "title",
                "State": {"status": ["Open", "Done"]},
                "Tags": {"multi_select": ["red"]},
                "Points": "number",
                "Due": "date",
                "Urgent": "checkbox",
                "Made": "created_time",
            },
            "rows": [
                {"Name": "Write", "State": "Open", "Points": 3, "Due": "2026-01-05", "Tags": ["red", "blue"]},
                {"Name": "Read", "State": "Done", "Points": 1, "Urgent": True},
                {"Name": "Rest", "State": "Open"},
            ],
        }
    ],
}
Make = Callable[..., Service]
CLIENTS: list[Client] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def client_of(service: Service, key: str = KEY, **options: Any) -> Any:
    CLIENTS.append(Client(auth=key, base_url=service.base_url, retry=False, **options))
    return CLIENTS[-1]


@pytest.fixture
def workspace(serve: Make) -> Service:
    return serve("notion", seed=SEED, token=KEY)


@pytest.fixture
def client(workspace: Service) -> Any:
    return client_of(workspace)


def words(content: str) -> list[dict[str, Any]]:
    return [{"text": {"content": content}}]


def paragraph(content: str) -> dict[str, Any]:
    return {"paragraph": {"rich_text": words(content)}}


def said(listed: Any) -> list[str]:
    return [one[one["type"]]["rich_text"][0]["plain_text"] for one in listed["results"]]


def names(client: Any, source: str = SOURCE, **query: Any) -> list[str]:
    found = client.data_sources.query(source, **query)["results"]
    return [page["properties"]["Name"]["title"][0]["plain_text"] for page in found]


def test_the_tour(workspace: Service, client: Any) -> None:
    assert client.users.me()["type"] == "bot"
    person = client.users.list()["results"][1]
    assert client.users.retrieve(person["id"])["person"]["email"] == "ada@acme.test"

    # pages and their blocks
    home = client.pages.retrieve(HOME)
    assert home["properties"]["title"]["title"][0]["plain_text"] == "Home"
    page = client.pages.create(
        parent={"page_id": HOME}, properties={"title": words("Notes")}, children=[paragraph("one"), paragraph("three")]
    )
    first, third = client.blocks.children.list(page["id"])["results"]
    client.blocks.children.append(page["id"], children=[paragraph("two")], after=first["id"])
    client.blocks.children.append(page["id"], children=[paragraph("zero")], position={"type": "start"})
    nested = {"toggle": {"rich_text": words("four"), "children": [paragraph("inside")]}}
    added = client.blocks.children.append(page["id"], children=[nested, {"divider": {}}])["results"]
    shown = client.blocks.children.list(page["id"], page_size=5)
    assert (said(shown), shown["has_more"]) == (["zero", "one", "two", "three", "four"], True)
    rest = client.blocks.children.list(page["id"], start_cursor=shown["next_cursor"])
    assert [one["type"] for one in rest["results"]] == ["divider"]
    assert said(client.blocks.children.list(added[0]["id"])) == ["inside"]
    assert client.blocks.retrieve(added[0]["id"])["has_children"] is True
    assert client.blocks.retrieve(page["id"])["child_page"]["title"] == "Notes"
    client.blocks.update(third["id"], paragraph={"rich_text": words("drei")})
    client.blocks.delete(first["id"])
    assert said(client.blocks.children.list(page["id"], page_size=4)) == ["zero", "two", "drei", "four"]
    assert [one["type"] for one in client.blocks.children.list(HOME)["results"]][-1] == "child_page"
    assert client.pages.update(page["id"], properties={"title": {"title": words("Diary")}}, icon=None)["icon"] is None
    assert client.search(query="diary")["results"][0]["id"] == page["id"]

    # databases, data sources and their pages
    made = client.databases.create(
        parent={"page_id": HOME},
        title=words("Shop"),
        initial_data_source={
            "properties": {"Name": {"title": {}}, "Kind": {"select": {"options": [{"name": "Book"}]}}}
        },
    )
    source = client.databases.retrieve(made["id"])["data_sources"][0]["id"]
    assert client.databases.update(made["id"], title=words("Store"))["title"][0]["plain_text"] == "Store"
    parent = {"type": "data_source_id", "data_source_id": source}
    tea = client.pages.create(
        parent=parent, properties={"Name": {"title": words("Tea")}, "Kind": {"select": {"name": "Drink"}}}
    )
    assert tea["parent"] == {"type": "data_source_id", "data_source_id": source, "database_id": made["id"]}
    options = client.data_sources.retrieve(source)["properties"]["Kind"]["select"]["options"]
    assert [one["name"] for one in options] == ["Book", "Drink"]
    changed = client.data_sources.update(source, properties={"Kind": {"name": "Sort"}, "Price": {"number": {}}})
    assert set(changed["properties"]) == {"Name", "Sort", "Price"}
    tea = client.pages.update(tea["id"], properties={"Price": {"number": 2.5}})
    assert (tea["properties"]["Sort"]["select"]["name"], tea["properties"]["Price"]["number"]) == ("Drink", 2.5)
    price = tea["properties"]["Price"]["id"]
    assert client.pages.properties.retrieve(tea["id"], price)["number"] == 2.5
    title = client.pages.properties.retrieve(tea["id"], "title")
    assert title["results"][0]["title"]["plain_text"] == "Tea"
    assert list(client.pages.retrieve(tea["id"], filter_properties=[price])["properties"]) == ["Price"]
    extra = client.data_sources.create(
        parent={"database_id": made["id"]}, title=words("Extra"), properties={"Name": {"title": {}}}
    )
    assert len(client.databases.retrieve(made["id"])["data_sources"]) == 2
    assert client.data_sources.query(extra["id"])["results"] == []
    assert names(client, source) == ["Tea"]
    client.pages.update(tea["id"], in_trash=True)
    assert names(client, source) == []

    # comments
    comment = client.comments.create(parent={"page_id": HOME}, rich_text=words("Nice"))
    client.comments.create(discussion_id=comment["discussion_id"], rich_text=words("Indeed"))
    listed = client.comments.list(block_id=HOME)["results"]
    assert [one["rich_text"][0]["plain_text"] for one in listed] == ["Nice", "Indeed"]
    assert client.comments.retrieve(comment["id"])["parent"] == {"type": "page_id", "page_id": HOME}

    # the version from before data sources
    old = client_of(workspace, notion_version="2022-06-28")
    database = old.databases.retrieve(TASKS)
    assert database["properties"]["Points"]["type"] == "number"
    done = {"filter": {"property": "Urgent", "checkbox": {"equals": True}}}
    [read] = old.request(path=f"databases/{TASKS}/query", method="POST", body=done)["results"]
    assert read["parent"] == {"type": "database_id", "database_id": TASKS}

    assert workspace.undriven() == []
    assert workspace.unread() == set()
    assert KEY not in str(list(workspace.world.journal.entries()))


def test_the_async_client(workspace: Service) -> None:
    async def run() -> list[str]:
        async with AsyncClient(auth=KEY, base_url=workspace.base_url) as client:
            await client.pages.create(parent={"page_id": HOME}, properties={"title": words("Later")})
            return [one["type"] for one in (await client.blocks.children.list(HOME))["results"]]

    assert asyncio.run(run()) == ["paragraph", "paragraph", "child_page"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"property": "Name", "title": {"starts_with": "re"}}, {"Read", "Rest"}),
        ({"property": "State", "status": {"equals": "Open"}}, {"Write", "Rest"}),
        ({"property": "State", "status": {"does_not_equal": "Open"}}, {"Read"}),
        ({"property": "Tags", "multi_select": {"contains": "blue"}}, {"Write"}),
        ({"property": "Tags", "multi_select": {"is_empty": True}}, {"Read", "Rest"}),
        ({"property": "Points", "number": {"greater_than": 1}}, {"Write"}),
        ({"property": "Points", "number": {"is_not_empty": True}}, {"Write", "Read"}),
        ({"property": "Due", "date": {"on_or_after": "2026-01-05"}}, {"Write"}),
        ({"property": "Due", "date": {"next_week": {}}}, {"Write"}),
        ({"property": "Urgent", "checkbox": {"does_not_equal": True}}, {"Write", "Rest"}),
        ({"property": "Made", "created_time": {"before": "2026-01-01"}}, {"Write", "Read", "Rest"}),
        ({"timestamp": "created_time", "created_time": {"after": "2026-01-01"}}, set()),
        (
            {
                "and": [
                    {"property": "State", "status": {"equals": "Open"}},
                    {
                        "or": [
                            {"property": "Points", "number": {"equals": 3}},
                            {"property": "Urgent", "checkbox": {"equals": True}},
                        ]
                    },
                ]
            },
            {"Write"},
        ),
    ],
)
def test_filters(client: Any, asked: dict[str, Any], found: set[str]) -> None:
    assert set(names(client, filter=asked)) == found


def test_sorts_and_pages(client: Any) -> None:
    by_points = [{"property": "Points", "direction": "ascending"}]
    assert names(client, sorts=by_points) == ["Read", "Write", "Rest"]
    assert names(client, sorts=[{"property": "Points", "direction": "descending"}]) == ["Write", "Read", "Rest"]
    by_state = [{"property": "State", "direction": "descending"}, {"property": "Name", "direction": "ascending"}]
    assert names(client, sorts=by_state) == ["Read", "Rest", "Write"]
    page = client.data_sources.query(SOURCE, sorts=by_points, page_size=2)
    assert (len(page["results"]), page["has_more"]) == (2, True)
    assert names(client, sorts=by_points, page_size=2, start_cursor=page["next_cursor"]) == ["Rest"]


def refused(ask: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(APIResponseError) as caught:
        ask()
    assert caught.value.request_id
    return caught.value.status, caught.value.code.value


def test_refusals(workspace: Service, client: Any) -> None:
    invalid = (400, "validation_error")
    nobody = "99999999-0000-4000-8000-000000000000"
    row = {"data_source_id": SOURCE}
    assert refused(lambda: client.pages.retrieve(nobody)) == (404, "object_not_found")
    assert refused(lambda: client.pages.retrieve("home")) == invalid
    assert refused(lambda: client.pages.create(properties={})) == invalid
    for properties in (
        {"Nmae": {"title": words("x")}},
        {"Points": {"number": "3"}},
        {"Points": {"title": words("x")}},
        {"State": {"status": {"name": "Lost"}}},
        {"Tags": {"multi_select": [{"name": "a,b"}]}},
        {"Due": {"date": {"start": "tomorrow"}}},
        {"Made": {"created_time": "2026-01-01"}},
        {"Name": {"title": words("x" * 2001)}},
    ):
        assert refused(lambda properties=properties: client.pages.create(parent=row, properties=properties)) == invalid
    assert len(names(client)) == 3
    assert refused(lambda: names(client, filter={"property": "Points", "checkbox": {"equals": True}})) == invalid
    assert refused(lambda: names(client, page_size=101)) == invalid
    assert refused(lambda: client.blocks.children.append(HOME, children=[{"paragraf": {}}])) == invalid
    client.pages.update(HOME, in_trash=True)
    assert refused(lambda: client.blocks.children.append(HOME, children=[paragraph("x")])) == invalid
    assert refused(lambda: client_of(workspace, "ntn_other").users.me()) == (401, "unauthorized")
    assert refused(lambda: client_of(workspace, notion_version="2019-01-01").users.me()) == invalid
    with pytest.raises(UnknownHTTPResponseError) as caught:
        client.pages.move(HOME, parent={"page_id": nobody})
    assert caught.value.status == 501


def test_capabilities(serve: Make) -> None:
    client = client_of(serve("notion", seed=SEED, token=KEY, scopes=("read_content",)))
    assert client.pages.retrieve(HOME)["id"] == HOME
    assert refused(lambda: client.pages.update(HOME, in_trash=True)) == (403, "restricted_resource")
    assert refused(lambda: client.users.list()) == (403, "restricted_resource")
