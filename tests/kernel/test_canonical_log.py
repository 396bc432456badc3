"""The canonical log as a file: the documented vectors, what verification notices, differences and the table."""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stack_emu.audit_log.raw_rows import read_raw
from stack_emu.audit_log.verification import verify as verify_log
from stack_emu.domain.audit_hash import row_hash
from stack_emu.domain.canonical_audit import Renderer, diff, head_sha256, parse, rehash, table, verify
from stack_emu.kernel.audit import GENESIS, ActEntry, Row, canonical_lines

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "audit-format.md").read_text(encoding="utf-8")
START = 1_767_225_600_000


def block(name: str) -> str:
    """The fenced block behind the heading of that name."""
    found = re.search(rf"#+ Vector: {name}\n.*?```\w*\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1]


def row(action: str, **fields: Any) -> Row:
    metadata = fields.pop("metadata", {})
    columns = {
        "entry_id": "aud_1",
        "timestamp": START,
        "trace_id": "req_1",
        "span_id": "0",
        "parent_span_id": None,
        "operator_id": "op_acme",
        "agent_id": "agent_bot",
        "passport_jti": None,
        "layer": "vault",
        "outcome": "success",
    }
    return Row(**{**columns, **fields}, action=action, metadata=metadata)


def acts() -> list[ActEntry]:
    """Three acts in two lanes, as a world would hand them over."""
    lane = "agent:agent_bot/passport:pp_1"
    call = {
        "mission": "ms_1",
        "intent": "Announce “deploys”",
        "service": "slack",
        "scopes": ["chat:write"],
        "upstream_status": 200,
        "authority_request": "w9Xk2_made_by_the_client",
        "host": "slack.com",
    }
    proxied = row("credential.proxy", passport_jti="pp_1", metadata=call, duration_ms=12)
    refused = replace(proxied, outcome="blocked", error_code="FORBIDDEN", metadata={"service": "github"})
    signal = row("security.signal", passport_jti="pp_1", layer="system", metadata={"severity": "warning"})
    issue = row("passport.issue", passport_jti="pp_1", metadata={"mission": "ms_1", "services": ["slack"]})
    return [
        ActEntry("agent:agent_bot", 0, "aa" * 32, 0, 2, "passports.issue", (issue,), START),
        ActEntry(lane, 1, "cc" * 32, 0, 3, "proxy.request", (proxied,), START + 1500),
        ActEntry(lane, 2, "bb" * 32, 0, 3, "proxy.request", (refused, signal), START + 2000),
    ]


def log(entries: list[ActEntry] | None = None, order: str = "commit") -> bytes:
    lines = canonical_lines(acts() if entries is None else entries, Renderer(START), order=order)
    return b"".join(line + b"\n" for line in lines)


@pytest.mark.parametrize("order", ["commit", "content"])
def test_the_documented_log_is_the_one_that_is_written(order: str) -> None:
    assert block(f"canonical, {order} order").encode() == log(order=order)


def test_every_field_a_line_can_carry_is_documented() -> None:
    from stack_emu.domain.canonical_audit import CARRIED

    assert [name for name in CARRIED if f"`{name}`" not in PAGE] == []


def test_the_documented_log_can_be_recomputed_with_sha256_and_sorted_json_alone() -> None:
    *lines, last = [json.loads(line) for line in block("canonical, commit order").splitlines()]

    def sha(value: dict[str, Any]) -> str:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    heads: dict[str, str] = {}
    for line in lines:
        claimed = line.pop("hash")
        assert line["prev"] == heads.get(line["lane"], "0" * 64)
        assert sha(line) == claimed
        heads[line["lane"]] = claimed
    assert last["lanes"] == heads
    assert last.pop("head") == sha(last)
    assert last["rows"] == len(lines)


def test_the_documented_raw_rows_follow_the_published_formula() -> None:
    entries = json.loads(block("raw chain"))
    assert kind_of(entries) is None
    previous = GENESIS
    for entry in entries:
        made = row(entry["action"], **{name: entry[name] for name in entry if name not in ("action", "entry_hash")})
        assert (made.prev_entry_hash, row_hash(made)) == (previous, entry["entry_hash"])
        previous = entry["entry_hash"]
    assert kind_of([entries[1]]) is None
    assert kind_of([{**entries[0], "outcome": "failure"}, entries[1]]) == "edited"
    assert kind_of(list(reversed(entries))) == "swapped"


def kind_of(entries: list[dict[str, Any]]) -> str | None:
    broken = verify_log(read_raw(json.dumps(entries).encode())).broken
    return None if broken is None else broken.kind


def test_an_intact_log_has_no_problems_with_or_without_its_head() -> None:
    data = log()
    assert verify(data) == []
    assert verify(data, head=head_sha256(data)) == []
    assert verify(log([])) == []
    assert len(parse(data).rows) == 4


def changed(data: bytes, number: int, **fields: Any) -> bytes:
    lines = data.splitlines()
    edited = {**json.loads(lines[number]), **fields}
    text = json.dumps(edited, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    lines[number] = text.encode()
    return b"".join(line + b"\n" for line in lines)


def without(data: bytes, number: int) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[number]
    return b"".join(lines)


def swapped(data: bytes, one: int, two: int) -> bytes:
    lines = data.splitlines(keepends=True)
    lines[one], lines[two] = lines[two], lines[one]
    return b"".join(lines)


def rehead(data: bytes, **fields: Any) -> bytes:
    """With another head, hashed right."""
    head = {**json.loads(data.splitlines()[4]), **fields}
    del head["head"]
    text = json.dumps(head, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return changed(data, 4, **fields, head=hashlib.sha256(text.encode()).hexdigest())


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (
            lambda data: changed(data, 1, outcome="failure"),
            "line 2, lane agent:agent_bot/passport:pp_1: edited: it was edited",
        ),
        (lambda data: changed(data, 2, prev="f" * 64), "line 3, lane agent:agent_bot/passport:pp_1: edited"),
        (lambda data: changed(data, 1, hash="f" * 64), "edited: the hash written in it was changed"),
        (lambda data: changed(data, 1, n=7), "line 2, lane agent:agent_bot/passport:pp_1: edited"),
        (
            lambda data: without(data, 1),
            "line 2, lane agent:agent_bot/passport:pp_1: deleted: a row is missing before it",
        ),
        (lambda data: without(data, 2), "deleted: a row is missing between line 2 and it"),
        (
            lambda data: without(data, 3),
            "line 3, lane agent:agent_bot/passport:pp_1: truncated: rows are missing behind it",
        ),
        (
            lambda data: without(data, 0),
            "line 4, lane agent:agent_bot: truncated: all rows of lane agent:agent_bot are missing",
        ),
        (lambda data: without(data, 4), "truncated: the log ends without its last line"),
        (lambda data: data[:-1], "line 5: truncated: the last line is not ended by a newline"),
        (lambda data: data[: len(data) // 2], "truncated: the file ends in the middle of this line"),
        (lambda data: data + data.splitlines(keepends=True)[0], "line 6: inserted: there is nothing behind the head"),
        (lambda data: swapped(data, 1, 2), "line 2, lane agent:agent_bot/passport:pp_1: swapped"),
        (lambda data: swapped(data, 0, 1), "line 1, lane agent:agent_bot/passport:pp_1: swapped"),
        (
            lambda data: data.replace(b'","', b'", "', 1),
            "line 1, lane agent:agent_bot: edited: it is not in canonical form",
        ),
        (
            lambda data: data.replace(b"\n", b"\r\n"),
            "line 1, lane agent:agent_bot: edited: it is not in canonical form (RFC",
        ),
        (lambda data: changed(data, 4, rows=5), "line 5: edited: the head was edited"),
        (lambda data: rehead(data, format="other/1"), "line 5: edited: the format is other/1"),
        (lambda data: rehead(data, order="random"), "line 5: edited: the order is random"),
        (lambda data: rehead(data, rows=5), "line 5: rehashed: the head counts 5 rows"),
        (lambda data: rehead(data, lanes={}), "line 1, lane agent:agent_bot: inserted: the head knows no such lane"),
        (lambda data: b"[]\n" + data, "line 1: edited: it is not a JSON object"),
        (lambda data: b'{"a":NaN}\n' + data, "line 1: edited: it is not JSON"),
        (lambda data: b"", "line 0: truncated: the file is empty"),
    ],
)
def test_every_way_to_spoil_a_log_is_noticed(spoil: Any, problem: str) -> None:
    [found] = verify(spoil(log()))
    assert str(found).startswith(problem) if problem.startswith("line") else problem in str(found), str(found)


def test_any_single_changed_byte_is_noticed() -> None:
    data, chance = log(), random.Random(5)
    for _ in range(300):
        position = chance.randrange(len(data))
        spoiled = bytearray(data)
        spoiled[position] ^= 1 << chance.randrange(7)
        assert verify(bytes(spoiled)), position


def test_a_log_hashed_again_as_a_whole_is_noticed_by_a_head_kept_elsewhere_only() -> None:
    data = log()
    forged = rehash(without(data, 3))
    assert verify(forged) == []
    [problem] = verify(forged, head=head_sha256(data))
    assert (problem.kind, "as expected" in problem.sentence) == ("rehashed", True)
    assert rehash(data) == data


def test_a_file_without_a_head_is_no_log() -> None:
    for data in (b"", b"hello\n", without(log(), 4)):
        with pytest.raises(ValueError, match="not a whole canonical log"):
            head_sha256(data)


def test_lanes_are_sorted_by_their_bytes_and_acts_of_a_lane_keep_together() -> None:
    entries = [
        replace(acts()[0], lane=lane) for lane in ("key:0", "agent:é", "agent:z", "agent:a", "agent:a/passport:1")
    ]
    rows = parse(log(entries)).rows
    assert [one["lane"] for one in rows] == ["agent:a", "agent:a/passport:1", "agent:z", "agent:é", "key:0"]
    mixed = [acts()[0], replace(acts()[1], lane="key:0"), replace(acts()[2], lane="agent:agent_bot")]
    assert [(one["lane"], one["act"], one["n"]) for one in parse(log(mixed)).rows] == [
        ("agent:agent_bot", 0, 0),
        ("agent:agent_bot", 1, 1),
        ("agent:agent_bot", 1, 2),
        ("key:0", 0, 0),
    ]


def test_content_order_does_not_depend_on_the_order_of_commits() -> None:
    entries = acts()
    assert log([entries[0], entries[2], entries[1]]) != log()
    assert log([entries[0], entries[2], entries[1]], "content") == log(order="content")
    with pytest.raises(ValueError, match="commit, content"):
        log(order="arrival")


def test_a_difference_stays_in_its_lane_and_hides_no_hashes_in_it() -> None:
    entries = acts()
    other = replace(entries[2], rows=(replace(entries[2].rows[0], error_code="CONFLICT"), entries[2].rows[1]))
    text = diff(log(), log([entries[0], entries[1], other]))
    assert text.startswith("lane agent:agent_bot/passport:pp_1\n")
    assert '-{"action":"credential.proxy"' in text
    assert '"code":"CONFLICT"' in text
    assert "hash" not in text
    assert "lane agent:agent_bot\n" not in text
    assert diff(log(), log()) == ""
    assert "lane agent:agent_bot (gone)" in diff(log(), log(entries[1:]))
    assert "lane agent:agent_bot (new)" in diff(log(entries[1:]), log())


def test_the_table_shows_who_did_what_with_which_result() -> None:
    lines = table(log()).splitlines()
    assert lines[0].split() == ["#", "agent", "passport", "intent", "scope", "action", "service", "result"]
    assert lines[2].split("  ")[0] == "2"
    assert "Announce “deploys”" in lines[2]
    assert lines[2].endswith("success 200")
    assert lines[3].endswith("blocked FORBIDDEN")
    assert table(acts()).splitlines()[0] == lines[0]
    assert len(table(acts()).splitlines()) == 5


def test_volatile_values_are_numbered_inside_their_lane() -> None:
    first = acts()[1]
    again = replace(first, rows=(replace(first.rows[0], metadata={"authority_request": "another_one"}),))
    elsewhere = replace(again, lane="key:0")
    rows = parse(log([first, again, first, elsewhere])).rows
    assert [one["authority_request"] for one in rows] == [
        "<authority_request:1>",
        "<authority_request:2>",
        "<authority_request:1>",
        "<authority_request:1>",
    ]
