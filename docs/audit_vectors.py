"""Writes ``docs/audit-vectors``: logs, checkpoints and corner cases, each with its verdict: ``python docs/audit_vectors.py``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stack_emu.audit_log.canonical_file import canonical, chained, read_canonical
from stack_emu.audit_log.checkpoints import read_signing_key, sign, statement_of, text_sha256
from stack_emu.audit_log.raw_rows import RawFile, entry_hash, read_raw, write_raw
from stack_emu.audit_log.tampering import WAYS, spoil

FOLDER = Path(__file__).parent / "audit-vectors"
_START = 1_767_225_600_000
_KEY = json.dumps({"kty": "OKP", "crv": "Ed25519", "d": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}).encode()
"""A key everybody knows, for vectors only."""

Expected = Mapping[str, Any]
Vector = tuple[str, bytes, Expected]
HOLDS: Expected = {"valid": True}


def breaks(kind: str, line: int) -> Expected:
    """The verdict that a row on this line is the first broken one."""
    return {"valid": False, "kind": kind, "line": line}


def base_rows() -> list[dict[str, Any]]:
    """Rows in five lanes, whose labels and contents need care."""
    common = {"action": "credential.proxy", "layer": "vault", "operator": "op_acme", "outcome": "success"}
    lanes = ("agent:a", "agent:a/passport:pp_1", "agent:\uffee", "agent:\U00010400", "key:0")
    common["operation"] = "proxy.request"
    rows: list[dict[str, Any]] = [
        {**common, "act": act, "at_ms": 1000 * act, "lane": lane} for lane in lanes for act in range(3)
    ]
    rows[0] |= {"intent": 'Quotes " and \\ and / and \u2028 and “these”', "scopes": ["chat:write", "ä"]}
    rows[1] |= {"\U0001f600": 1, "\ufb33": 2, "ö": 3, "\u20ac": 4, "\r": 5, "1": 6, "\u0080": 7}
    rows[3] |= {
        "constraints": [{"path": "body.amount", "op": "lte", "value": 0.000001}],
        "price_cents": 333333333.3333333,
    }
    rows[4] |= {"name": "\u0000\u001f\b\t\n\f\r\u007f", "changed": {"b": [1e21, 1e-7, -1.5, 100], "a": {}}}
    rows[6] |= {"name": "__proto__", "__proto__": {"x": 1}, "constructor": "y", "length": 9007199254740991}
    return rows


def canonical_log() -> bytes:
    """The log all others are made from."""
    return chained(base_rows(), {"format": "stack-emu-audit/1", "order": "commit"})


def _edited(data: bytes, line: int, **changes: Any) -> bytes:
    lines = data.splitlines()
    lines[line - 1] = canonical({**json.loads(lines[line - 1]), **changes})
    return b"".join(one + b"\n" for one in lines)


def _spliced(data: bytes, line: int, change: Callable[[bytes], bytes]) -> bytes:
    lines = data.splitlines(keepends=True)
    lines[line - 1] = change(lines[line - 1])
    return b"".join(lines)


def _rehead(data: bytes, **changes: Any) -> bytes:
    *rows, last = data.splitlines(keepends=True)
    head = {**json.loads(last), **changes}
    del head["head"]
    head["head"] = hashlib.sha256(canonical(head)).hexdigest()
    return b"".join([*rows, canonical(head) + b"\n"])


def canonical_vectors() -> Iterator[Vector]:
    """Logs by themselves."""
    good = canonical_log()
    lines = good.splitlines(keepends=True)
    last = len(lines)
    yield "holds", good, HOLDS
    yield "no-rows", chained([], {"format": "stack-emu-audit/1", "order": "content"}), HOLDS
    log = read_canonical(good)
    for how, kind in WAYS.items():
        line = {"insert": 3, "fork": 3, "truncate": 4}.get(how, 2)
        expected = HOLDS if how == "rehash" else breaks(kind, line)
        yield f"tamper-{how}", spoil(log, how, 5 if how == "truncate" else 2, None, False).data, expected
    yield "delete-first-of-lane", b"".join(lines[1:]), breaks("deleted", 1)
    yield "delete-last-of-lane", b"".join([*lines[:2], *lines[3:]]), breaks("truncated", 2)
    yield "delete-lane", b"".join(lines[3:]), breaks("truncated", last - 3)
    yield "fork-at-end-of-lane", spoil(log, "fork", 3, None, False).data, breaks("forked", 4)
    yield "swap-lanes", b"".join([*lines[3:6], *lines[:3], *lines[6:]]), breaks("swapped", 1)
    yield "swap-across-lanes", spoil(log, "swap", 3, None, False).data, breaks("swapped", 3)
    yield "repeat-line", b"".join([*lines[:2], lines[1], *lines[2:]]), breaks("inserted", 3)
    yield "copy-of-later-line", b"".join([lines[0], lines[2], *lines[1:]]), breaks("inserted", 2)
    yield "edit-hash", _edited(good, 2, hash="f" * 64), breaks("edited", 2)
    yield "edit-prev", _edited(good, 2, prev="f" * 64), breaks("edited", 2)
    yield "edit-number", _edited(good, 2, n=7), breaks("edited", 2)
    yield "edit-lane", _edited(good, 2, lane="agent:0"), breaks("edited", 2)
    yield "edit-lane-no-text", _edited(good, 2, lane=None), breaks("edited", 2)
    yield "edit-hash-no-text", _edited(good, 2, hash=None), breaks("edited", 2)
    yield "edit-last-row", _edited(good, last - 1, outcome="failure"), breaks("edited", last - 1)
    yield "edit-head", _edited(good, last, rows=16), breaks("edited", last)
    yield "no-head", b"".join(lines[:-1]), breaks("truncated", last - 1)
    yield "no-newline", good[:-1], breaks("truncated", last)
    yield "cut-in-line", good[:-20], breaks("truncated", last)
    yield "empty", b"", breaks("truncated", 0)
    yield "line-behind-head", good + lines[0], breaks("inserted", last + 1)
    yield "head-format", _rehead(good, format="stack-emu-audit/2"), breaks("edited", last)
    yield "head-order", _rehead(good, order="arrival"), breaks("edited", last)
    yield "head-rows", _rehead(good, rows=16), breaks("rehashed", last)
    yield "head-rows-true", _rehead(good, rows=True), breaks("rehashed", last)
    yield "head-lane-missing", _rehead(good, lanes={}), breaks("inserted", 1)
    ends = json.loads(lines[-1])["lanes"]
    more = _rehead(good, lanes={**ends, "zz": "0" * 64})
    yield "head-lane-more", more, breaks("truncated", last)
    earlier = json.loads(lines[1])["hash"]
    yield "head-lane-earlier", _rehead(good, lanes={**ends, "agent:a": earlier}), breaks("inserted", 3)
    yield "line-crlf", good.replace(b"\n", b"\r\n"), breaks("edited", 1)
    yield "line-spaces", _spliced(good, 2, lambda line: line.replace(b",", b", ", 1)), breaks("edited", 2)
    yield "line-key-order", _spliced(good, 3, lambda line: b'{"zz":1,' + line[1:]), breaks("edited", 3)
    yield "line-no-json", _spliced(good, 3, lambda line: b"hello\n"), breaks("edited", 3)
    yield "line-array", _spliced(good, 3, lambda line: b"[]\n"), breaks("edited", 3)
    yield "line-blank", _spliced(good, 3, lambda line: b"\n" + line), breaks("edited", 3)
    yield "line-nan", _spliced(good, 3, lambda line: line.replace(b'"at_ms":2000', b'"at_ms":NaN')), breaks("edited", 3)
    yield "line-bom", b"\xef\xbb\xbf" + good, breaks("edited", 1)
    yield "line-no-utf8", _spliced(good, 3, lambda line: line.replace(b"vault", b"va\xfflt")), breaks("edited", 3)
    escaped = _spliced(good, 3, lambda line: line.replace(b"vault", rb"\u0076ault"))
    yield "line-escapes", escaped, breaks("edited", 3)
    lone = _spliced(good, 3, lambda line: line.replace(b"vault", rb"\ud800"))
    yield "line-lone-surrogate", lone, breaks("edited", 3)
    for name, number in (
        ("fraction", b"2000.0"),
        ("large", b"9007199254740992"),
        ("exponent", b"2e3"),
        ("infinite", b"1e999"),
    ):
        text = b'"at_ms":' + number
        changed = _spliced(good, 3, lambda line, text=text: line.replace(b'"at_ms":2000', text))
        yield f"line-number-{name}", changed, breaks("edited", 3)


def raw_entries() -> list[dict[str, Any]]:
    """A raw chain whose cells need care in every form."""
    entries: list[dict[str, Any]] = []
    previous = "0" * 64
    for number in range(6):
        entry: dict[str, Any] = {
            "entry_id": f"aud_{number}",
            "timestamp": _START + number,
            "trace_id": f"req_{number}",
            "operator_id": "op_acme",
            "agent_id": [None, "agent_bot", "=agent", "'=agent", 'a "b", c\nd', "ä\u2028\U0001f600"][number],
            "layer": "vault",
            "action": "credential.proxy",
            "outcome": "success",
            "error_message": [None, "+1", "'-1", "@x", "\tx", "plain"][number],
            "prev_entry_hash": previous,
        }
        entry["entry_hash"] = previous = entry_hash(entry)
        entry["metadata"] = {"service": "slack"}
        entries.append(entry)
    return entries


def raw_vectors() -> Iterator[Vector]:
    """Exports by themselves, in every form."""
    entries = raw_entries()
    for form in ("json", "ndjson", "csv"):
        around = {"count": len(entries), "truncated": False} if form == "json" else {}
        good = write_raw(RawFile(form, entries, range(len(entries)), around, tuple(entries[0])))
        file = read_raw(good)
        at = list(file.lines)
        yield f"raw-{form}-holds", good, HOLDS
        for how, kind in WAYS.items():
            data = spoil(file, how, at[2], None, False).data
            again = list(read_raw(data).lines)
            place = {"insert": 3, "fork": 3, "delete": 2, "truncate": 1}.get(how, 2)
            expected = (
                HOLDS if how == "rehash" or (how == "truncate" and form != "json") else breaks(kind, again[place])
            )
            yield f"raw-{form}-{how}", data, expected
        middle = write_raw(RawFile(form, entries[2:], range(4), {}, tuple(entries[0])))
        yield f"raw-{form}-from-the-middle", middle, HOLDS
    unseen = [{**entry, "error_message": "fine"} for entry in entries]
    yield "raw-json-edit-outside-the-hash", json.dumps(unseen).encode(), HOLDS
    yield "raw-json-pretty", json.dumps({"entries": entries}, indent=2).encode(), HOLDS
    yield "raw-json-fraction", json.dumps(entries).replace(str(_START), f"{_START}.0").encode(), HOLDS
    yield (
        "raw-json-missing-null",
        json.dumps([{k: v for k, v in one.items() if v is not None} for one in entries]).encode(),
        HOLDS,
    )
    yield "raw-json-array", json.dumps(entries).encode(), HOLDS
    lines = "".join(json.dumps(one) + "\n" for one in entries).splitlines(keepends=True)
    yield "raw-ndjson-bad-line", "".join([*lines[:2], "oops\n", *lines[2:]]).encode(), breaks("edited", 3)


def checkpoint_vectors() -> Iterator[tuple[str, bytes, list[str], Expected]]:
    """Logs against checkpoints: name, log, texts of checkpoints, verdict."""
    key = read_signing_key(_KEY)
    kid = key.jwk["kid"]
    good = canonical_log()
    log = read_canonical(good)
    kept = [row for row in log.rows if row["lane"] != "key:0" and not (row["lane"] == "agent:a" and row["n"] == 2)]
    early = read_canonical(chained(kept, log.head))
    first = sign(statement_of(early), key.sign_bytes, kid)
    second = sign(statement_of(log, text_sha256(first)), key.sign_bytes, kid)
    yield "checkpoint-same", good, [second], HOLDS
    yield "checkpoint-later-rows", good, [first], HOLDS
    yield "checkpoint-chain", good, [first, second], HOLDS
    yield "checkpoint-wrong-order", good, [second, first], {"error": True}
    yield "checkpoint-cut", chained(kept, log.head), [second], breaks("truncated", 2)
    yield "checkpoint-rehashed", spoil(log, "rehash", 4, None, False).data, [first], breaks("rehashed", 6)
    yield "checkpoint-rehashed-behind-it", spoil(log, "rehash", 3, None, False).data, [first], HOLDS
    yield (
        "checkpoint-lane-gone",
        chained([row for row in log.rows if row["lane"] != "agent:a"], log.head),
        [first],
        breaks("truncated", 13),
    )
    yield "checkpoint-other-order", _rehead(good, order="content"), [first], breaks("rehashed", len(log.lines))
    yield "checkpoint-broken-log", spoil(log, "edit", 2, None, False).data, [first], breaks("edited", 2)
    head, _, signature = second.split(".")
    yield "checkpoint-changed", good, [f"{head}.{first.split('.')[1]}.{signature}"], {"error": True}
    yield "checkpoint-padded", good, [second + "="], {"error": True}
    yield "checkpoint-no-jws", good, ["hello"], {"error": True}
    yield "checkpoint-other-kid", good, [sign(statement_of(log), key.sign_bytes, "other")], {"error": True}
    for name, wrong in (("aud", {"aud": "stack:passport"}), ("rows", {"rows": 1}), ("head", {"head": "0" * 64})):
        text = sign({**statement_of(log), **wrong}, key.sign_bytes, kid)
        yield f"checkpoint-unsound-{name}", good, [text], {"error": True}
    entries = raw_entries()
    for form in ("json", "csv"):
        whole = write_raw(RawFile(form, entries, range(6), {}, tuple(entries[0])))
        file = read_raw(whole)
        signed = sign(statement_of(file.with_entries(entries[:4])), key.sign_bytes, kid)
        yield f"checkpoint-raw-{form}", whole, [signed], HOLDS
        cut = write_raw(RawFile(form, entries[:3], range(3), {}, tuple(entries[0])))
        yield f"checkpoint-raw-{form}-cut", cut, [signed], breaks("truncated", file.lines[2])
        late = write_raw(RawFile(form, entries[1:], range(5), {}, tuple(entries[0])))
        yield f"checkpoint-raw-{form}-begins-late", late, [signed], breaks("truncated", file.lines[0])
        rehashed = spoil(file, "rehash", file.lines[1], None, False).data
        yield f"checkpoint-raw-{form}-rehashed", rehashed, [signed], breaks("rehashed", file.lines[3])
        yield f"checkpoint-other-kind-{form}", whole, [first], {"error": True}


def json_vectors() -> list[dict[str, Any]]:
    """Texts in JSON with their canonical form, or null where they have none."""
    texts = [
        r'{"\u20ac":"Euro","\r":"CR","\ufb33":"Hebrew","1":"One","\ud83d\ude00":"Smile","\u0080":"Control","\u00f6":"o"}',
        r'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'
        r"'\u0042\u0022\u005c\\\"\/" + r'","literals":[null,true,false]}',
        '{"z":[-0,0,-0.0,1.0,1e0],"integers":[9007199254740991,-9007199254740991]}',
        '{"small":[5e-324,1e-7,0.000001,1.7976931348623157e308],"large":[1e21,1E+300]}',
        r'{"\ud801\udc00":"beyond","\uffee":"in the plane"}',
        r'{"escapes":"\u0000\u001f\u007f\u0080\u2028\u2029\b\t\n\f\r\"\\\/"}',
        '{"":{"":[{}],"a":[]}}',
        '{"__proto__":1,"constructor":2,"toString":3}',
        '{"a":1,"a":2}',
        '{"integer":9007199254740992}',
        '{"integer":-9007199254740993}',
        '{"integer":100000000000000000000}',
        r'{"lone":"\ud800"}',
        r'{"\udfff":"lone"}',
        '{"infinite":1e400}',
        '{"deep":' + "[" * 130 + "]" * 130 + "}",
    ]
    return [{"json": text, **_form(text)} for text in texts]


def _form(text: str) -> dict[str, str | None]:
    from stack_emu.kernel import strict_json

    try:
        data = canonical(strict_json.loads(text))
    except ValueError:
        data = b""
    if (
        not data or '"integer"' in text
    ):  # the emulator writes such integers as text; a log that has one is not canonical
        return {"canonical": None, "sha256": None}
    return {"canonical": data.decode("utf-8"), "sha256": hashlib.sha256(data).hexdigest()}


def files() -> dict[str, bytes]:
    """Every file of the folder by name."""
    made: dict[str, bytes] = {}
    listed: list[dict[str, Any]] = []
    for name, data, expected in (*canonical_vectors(), *raw_vectors()):
        file = f"{name}.{'csv' if '-csv-' in name else 'json' if '-json-' in name else 'jsonl'}"
        made[file] = data
        listed.append({"file": file, **expected})
    head = str(read_canonical(canonical_log()).head["head"])
    listed.append({"file": "holds.jsonl", "head": head, **HOLDS})
    listed.append({"file": "tamper-rehash.jsonl", "head": head, **breaks("rehashed", 16)})
    for name, data, texts, expected in checkpoint_vectors():
        file = f"{name}.log"
        made[file] = data
        names = [f"{name}.{number}.checkpoint" for number in range(1, len(texts) + 1)]
        made.update(zip(names, (text.encode("ascii") + b"\n" for text in texts), strict=True))
        listed.append({"file": file, "checkpoints": names, "jwks": "keys.json", **expected})
    made["keys.json"] = _pretty({"keys": [dict(read_signing_key(_KEY).jwk)]})
    made["canonical-json.json"] = _pretty(json_vectors())
    made["manifest.json"] = _pretty(listed)
    return made


def _pretty(value: Any) -> bytes:
    if isinstance(value, list):
        return ("[\n" + ",\n".join(json.dumps(one) for one in value) + "\n]\n").encode("ascii")
    return (json.dumps(value, indent=1) + "\n").encode("ascii")


def main() -> None:
    """Write the folder anew."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for name, data in files().items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
