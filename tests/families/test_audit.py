"""The raw audit log: listing, polling, exporting and verifying it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.audit_log.raw_rows import read_raw
from stack_emu.audit_log.verification import verify
from tests.families.drivers import McpTools
from tests.families.proxy_world import (
    ECHO,
    MEMBER,
    OPERATOR,
    OTHER,
    READER,
    SECRET,
    WORLD,
    bearer,
    raw_proxy,
    token,
)

COLUMNS = [
    "entry_id",
    "timestamp",
    "trace_id",
    "span_id",
    "parent_span_id",
    "operator_id",
    "agent_id",
    "passport_jti",
    "layer",
    "action",
    "outcome",
    "duration_ms",
    "payload_hash",
    "error_code",
    "error_message",
    "prev_entry_hash",
    "entry_hash",
]
HASHED = ["entry_id", "timestamp", "operator_id", "agent_id", "layer", "action", "outcome", "prev_entry_hash"]


def busy(serve: Callable[..., Any], calls: int = 5) -> Any:
    """A world in which some calls were made, a second apart."""
    served = serve(WORLD)
    passport = token(served)
    for number in range(calls):
        served.advance(1000)
        named = {"X_Passport_Token": passport} if number % 2 else {}
        raw_proxy(served, {"service": "echo", "url": f"{ECHO}/{number}"}, **named)
    return served


def test_the_list_is_newest_first_with_every_column_and_the_newest_timestamp(
    serve: Callable[..., Any], sdk: Any
) -> None:
    served = busy(serve)
    page = sdk(served.base_url, OPERATOR).audit.list(limit=3)
    assert set(page) == {"entries", "max_timestamp"}
    assert len(page["entries"]) == 3
    assert set(page["entries"][0]) == {*COLUMNS, "metadata"}
    times = [entry["timestamp"] for entry in page["entries"]]
    assert times == sorted(times, reverse=True)
    assert page["max_timestamp"] == times[0] == served.rows()[-1].timestamp
    assert page["entries"][0]["layer"] == "vault"
    assert page["entries"][0]["metadata"]["service"] == "echo"
    assert SECRET not in json.dumps(page)


def test_an_empty_log_has_no_newest_timestamp(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    client = sdk(served.base_url, OPERATOR)
    assert client.audit.list() == {"entries": [], "max_timestamp": None}
    assert client.audit.chain_head() == {
        "entry_hash": "0" * 64,
        "entry_count": 0,
        "entry_id": None,
        "timestamp": None,
    }
    assert client.audit.verify_chain()["valid"] is True


def test_polling_with_since_gives_each_row_once(serve: Callable[..., Any], sdk: Any) -> None:
    served = busy(serve)
    client = sdk(served.base_url, OPERATOR)
    newest = client.audit.list()["max_timestamp"]
    assert client.audit.list(since=newest)["entries"] == []
    served.advance(1000)
    raw_proxy(served, {"service": "echo", "url": ECHO})
    [entry] = client.audit.list(since=newest)["entries"]
    assert entry["timestamp"] == newest + 1000


def test_the_list_is_narrowed_by_agent_and_passport(serve: Callable[..., Any], sdk: Any) -> None:
    served = busy(serve)
    client = sdk(served.base_url, OPERATOR)
    assert {entry["agent_id"] for entry in client.audit.list(agent_id="agent_bot")["entries"]} == {"agent_bot"}
    assert len(client.audit.list(passport_jti="pp_one")["entries"]) == 2
    assert client.audit.list(agent_id="agent_strict")["entries"] == []


def test_old_sdks_get_a_bare_array_by_page(serve: Callable[..., Any]) -> None:
    served = busy(serve)
    url = f"{served.base_url}/v1/audit"
    one = httpx.get(url, params={"page": 1, "limit": 2}, headers=bearer(OPERATOR)).json()
    two = httpx.get(url, params={"page": 2, "limit": 2, "action": "credential.proxy"}, headers=bearer(OPERATOR)).json()
    assert isinstance(one, list)
    assert len(one) == len(two) == 2
    assert one[1]["timestamp"] > two[0]["timestamp"]
    assert httpx.get(url, params={"page": 9}, headers=bearer(OPERATOR)).json() == []


def test_rows_belong_to_one_account_and_agents_may_not_read_them(serve: Callable[..., Any], sdk: Any) -> None:
    served = busy(serve)
    assert sdk(served.base_url, OTHER).audit.list()["entries"] == []
    assert sdk(served.base_url, READER).audit.list()["entries"]
    for call in ("list", "chain_head", "verify_chain"):
        with pytest.raises(getstack.ForbiddenError) as caught:
            getattr(sdk(served.base_url, token(served)).audit, call)()
        assert caught.value.code == "FORBIDDEN"
    with pytest.raises(getstack.UnauthorizedError):
        sdk(served.base_url, "sk_live_unknown").audit.list()


def test_a_member_sees_no_row_about_a_connection_outside_its_limits(serve: Callable[..., Any], sdk: Any) -> None:
    served = busy(serve)
    client = sdk(served.base_url, MEMBER)
    assert client.audit.list()["entries"] == []
    client.proxy.post("slack", "https://slack.com/api/auth.test", body={})
    assert [entry["metadata"]["connection"] for entry in client.audit.list()["entries"]] == ["scon_slack"]
    exported = httpx.get(f"{served.base_url}/v1/audit/export", headers=bearer(MEMBER)).json()
    assert exported["count"] == 1


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 101}, {"since": "yesterday"}])
def test_limits_out_of_range_are_refused(serve: Callable[..., Any], wrong: dict[str, Any]) -> None:
    served = serve(WORLD)
    reply = httpx.get(f"{served.base_url}/v1/audit", params=wrong, headers=bearer(OPERATOR))
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    assert next(iter(wrong)) in reply.json()["error"]["details"]["fields"]


def test_the_chain_follows_the_published_formula(serve: Callable[..., Any], sdk: Any) -> None:
    served = busy(serve)
    client = sdk(served.base_url, OPERATOR)
    previous = "0" * 64
    for entry in reversed(client.audit.list()["entries"]):
        assert entry["prev_entry_hash"] == previous
        # As JSON.stringify writes it: no spaces, these keys in this order.
        text = "{" + ",".join(f'"{name}":{json.dumps(entry[name])}' for name in HASHED) + "}"
        assert hashlib.sha256(text.encode()).hexdigest() == entry["entry_hash"]
        previous = entry["entry_hash"]
    head = client.audit.chain_head()
    assert (head["entry_hash"], head["entry_count"]) == (previous, 5)
    assert client.audit.verify_chain() == {"valid": True, "checked": 5, "first_break": None, "head": previous}


@pytest.mark.parametrize(
    ("changes", "index", "problem"),
    [({"outcome": "failure"}, 2, "entry_hash"), ({"prev_entry_hash": "f" * 64}, 2, "prev_entry_hash")],
)
def test_the_first_break_of_a_tampered_chain_is_reported(
    serve: Callable[..., Any], sdk: Any, changes: dict[str, str], index: int, problem: str
) -> None:
    served = busy(serve)
    served.call(lambda: served.world.audit.tamper("op_emu", index, **changes))
    client = sdk(served.base_url, OPERATOR)
    report = client.audit.verify_chain()
    assert (report["valid"], report["checked"]) == (False, index + 1)
    assert report["first_break"]["index"] == index
    assert report["first_break"]["entry_id"] == served.rows()[index].entry_id
    assert problem in report["first_break"]["problem"]
    exported = httpx.get(f"{served.base_url}/v1/audit/export", headers=bearer(OPERATOR)).content
    found = verify(read_raw(exported)).broken
    assert found is not None
    assert (found.kind, found.line, found.entry_id) == ("edited", index + 1, served.rows()[index].entry_id)


def test_a_window_of_the_chain_is_verified_from_the_row_before_it(serve: Callable[..., Any], sdk: Any) -> None:
    from stack_emu.kernel.clock import iso

    served = busy(serve)
    client = sdk(served.base_url, OPERATOR)
    rows = served.rows()
    start, end = iso(rows[1].timestamp), iso(rows[3].timestamp)
    report = client.audit.verify_chain(from_date=start, to_date=end)
    assert (report["valid"], report["checked"], report["head"]) == (True, 2, rows[2].entry_hash)
    assert client.audit.verify_chain(from_date=start, limit=1)["checked"] == 1
    served.call(lambda: served.world.audit.tamper("op_emu", 0, action="other"))
    assert client.audit.verify_chain(from_date=start)["valid"] is True
    assert client.audit.verify_chain()["first_break"]["index"] == 0
    backwards = httpx.get(
        f"{served.base_url}/v1/audit/verify-chain", params={"from": end, "to": start}, headers=bearer(OPERATOR)
    )
    assert backwards.status_code == 400
    nonsense = httpx.get(f"{served.base_url}/v1/audit/verify-chain", params={"from": "x"}, headers=bearer(OPERATOR))
    assert nonsense.json()["error"]["details"]["fields"].keys() == {"from"}


def test_exports_hold_the_same_rows_in_three_formats(serve: Callable[..., Any]) -> None:
    served = busy(serve)
    url, key = f"{served.base_url}/v1/audit/export", bearer(OPERATOR)
    whole = httpx.get(url, headers=key)
    assert whole.headers["content-type"].startswith("application/json")
    entries = whole.json()["entries"]
    assert (whole.json()["count"], whole.json()["truncated"]) == (5, False)
    assert [entry["entry_id"] for entry in entries] == [row.entry_id for row in served.rows()]
    by_accept = httpx.get(url, headers={**key, "Accept": "application/x-ndjson"})
    assert by_accept.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in by_accept.text.splitlines()] == entries
    by_query = httpx.get(url, params={"format": "csv"}, headers=key)
    assert by_query.headers["content-type"].startswith("text/csv")
    assert "audit.csv" in by_query.headers["content-disposition"]
    table = list(csv.DictReader(io.StringIO(by_query.text)))
    assert list(table[0]) == [*COLUMNS, "metadata"]
    assert [row["entry_hash"] for row in table] == [entry["entry_hash"] for entry in entries]
    assert json.loads(table[0]["metadata"]) == entries[0]["metadata"]
    for reply in (whole, by_accept, by_query):
        read = read_raw(reply.content)
        assert [dict(row) for row in read.entries] == entries
        assert verify(read).valid


def test_an_export_is_cut_by_instants_and_filters(serve: Callable[..., Any]) -> None:
    from stack_emu.kernel.clock import iso

    served = busy(serve)
    rows = served.rows()
    params = {"from": iso(rows[1].timestamp), "to": iso(rows[4].timestamp)}
    url = f"{served.base_url}/v1/audit/export"
    entries = httpx.get(url, params=params, headers=bearer(OPERATOR)).json()["entries"]
    assert [entry["entry_id"] for entry in entries] == [row.entry_id for row in rows[1:4]]
    mine = httpx.get(url, params={**params, "passport_jti": "pp_one"}, headers=bearer(OPERATOR)).json()
    assert mine["count"] == 2


def test_an_export_stops_at_its_row_limit_and_says_so(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stack_emu.domain import audit

    served = busy(serve)
    monkeypatch.setattr(audit, "EXPORT_LIMIT", 3)
    reply = httpx.get(f"{served.base_url}/v1/audit/export", headers=bearer(OPERATOR)).json()
    assert (reply["count"], reply["truncated"]) == (3, True)


def test_text_that_a_spreadsheet_would_run_is_quoted_in_csv(serve: Callable[..., Any]) -> None:
    served = busy(serve)
    served.call(lambda: served.world.audit.tamper("op_emu", 0, error_message="=1+1"))
    text = httpx.get(f"{served.base_url}/v1/audit/export?format=csv", headers=bearer(OPERATOR)).text
    assert next(csv.DictReader(io.StringIO(text)))["error_message"] == "'=1+1"


def test_the_tools_answer_as_rest_does(serve: Callable[..., Any]) -> None:
    served = busy(serve)
    tools = McpTools(served.base_url, OPERATOR)
    assert [entry["entry_id"] for entry in tools("stack_list_audit", limit=1)["entries"]] == [
        served.rows()[-1].entry_id
    ]
    assert tools("stack_verify_audit_chain")["valid"] is True
    assert tools("stack_get_audit_chain_head")["entry_count"] == 5
    assert tools("stack_export_audit")["count"] == 5
    refused, failed = McpTools(served.base_url, token(served)).result("stack_list_audit")
    assert failed
    assert "FORBIDDEN" in json.dumps(refused)


def test_reading_the_log_leaves_no_rows(serve: Callable[..., Any], sdk: Any) -> None:
    served = busy(serve)
    client = sdk(served.base_url, OPERATOR)
    client.audit.list()
    client.audit.verify_chain()
    assert len(served.rows()) == 5
