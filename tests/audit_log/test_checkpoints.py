"""Signed checkpoints: made of files and by a running emulator, verified with other people's JWS code, and what they prove."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import getstack
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from stack_emu.audit_log.canonical_file import chained, read_canonical
from stack_emu.audit_log.checkpoints import sign, statement_of
from stack_emu.audit_log.raw_rows import read_raw, write_raw
from stack_emu.cli.main import main
from stack_emu.client import WorldClient
from tests.audit_log.logs import GOLDENS, raw_bytes, raw_entries, raw_file
from tests.conftest import Served
from tests.control.conftest import SHOP

GOLDEN = next(path for path in GOLDENS if path.parent.name == "revocation")


class Desk:
    """A key, a log, and the command line."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self.key = folder / "key.pem"
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.key.write_bytes(self.private.private_bytes(*form))
        self.jwks = folder / "keys.json"

    def run(self, *arguments: object) -> tuple[int, str]:
        self._capsys.readouterr()
        code = main(["audit", *map(str, arguments)])
        said = self._capsys.readouterr()
        return code, said.out + said.err

    def sign(self, log: Path, *more: object, out: str = "cp") -> Path:
        path = self.folder / out
        code, said = self.run("checkpoint", log, "--key", self.key, "--out", path, "--jwks-out", self.jwks, *more)
        assert (code, said) == (0, f"{path}: {log} as it stands, signed\n")
        return path

    def verify(self, log: Path, *checkpoints: Path) -> tuple[int, str]:
        named = [word for path in checkpoints for word in ("--checkpoint", path)]
        return self.run("verify", log, *named, "--jwks", self.jwks)

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def payload(text: str) -> dict[str, Any]:
    part = text.split(".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return said


def shortened(data: bytes, lanes: int, rows: int) -> bytes:
    """A log as it was earlier: without its last lanes, and without the last rows of the lane before them."""
    log = read_canonical(data)
    names = sorted(log.head["lanes"], key=str.encode)[:lanes]
    kept = [row for row in log.rows if row["lane"] in names]
    return chained(kept[: len(kept) - rows], log.head)


def test_a_checkpoint_is_a_jws_of_canonical_json_and_the_same_on_every_run(desk: Desk) -> None:
    first, again = desk.sign(GOLDEN).read_text(), desk.sign(GOLDEN, out="again").read_text()
    assert first == again
    [published] = json.loads(desk.jwks.read_text())["keys"]
    key = jwt.PyJWK(published)
    decoded = jwt.PyJWS().decode_complete(first.strip(), key, algorithms=["EdDSA"])
    assert decoded["header"] == {"alg": "EdDSA", "kid": published["kid"], "typ": "stack-emu-checkpoint+jws"}
    said = json.loads(decoded["payload"])
    assert decoded["payload"].decode() == json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    log = read_canonical(GOLDEN.read_bytes())
    assert {name: lane["head"] for name, lane in said["lanes"].items()} == log.head["lanes"]
    assert sum(lane["rows"] for lane in said["lanes"].values()) == said["rows"] == len(log.rows)
    assert (said["head"], said["order"], said["format"]) == (log.head["head"], "commit", "stack-emu-audit/1")
    assert said["at_ms"] == max(row["at_ms"] for row in log.rows)
    assert said["previous"] is None


def test_later_rows_may_follow_and_nothing_before_may_change(desk: Desk) -> None:
    whole = GOLDEN.read_bytes()
    early = desk.file("early.jsonl", shortened(whole, 6, 2))
    checkpoint = desk.sign(early)
    code, said = desk.verify(GOLDEN, checkpoint)
    assert code == 0
    rows = len(read_canonical(early.read_bytes()).rows)
    assert f"proves {rows} rows; {42 - rows} stand behind them" in said
    log = read_canonical(whole)
    covered = {lane: item["rows"] for lane, item in payload(checkpoint.read_text())["lanes"].items()}
    for at, row in enumerate(log.rows):
        forged = chained([*log.rows[:at], {**row, "outcome": "pending"}, *log.rows[at + 1 :]], log.head)
        code, said = desk.verify(desk.file("forged.jsonl", forged), checkpoint)
        if row["n"] < covered.get(row["lane"], 0):
            assert (code, ": rehashed: it is not the row that was signed" in said) == (1, True), said
        else:
            assert code == 0
    missing = chained([row for row in log.rows if row["lane"] != sorted(covered)[0]], log.head)
    code, said = desk.verify(desk.file("missing.jsonl", missing), checkpoint)
    assert (code, ": truncated: the lane has 0 rows, and had " in said) == (1, True), said
    code, said = desk.verify(early, desk.sign(GOLDEN, out="late"))
    assert (code, ": truncated: " in said) == (1, True), said


def test_checkpoints_name_each_other_and_are_given_oldest_first(desk: Desk) -> None:
    early = desk.file("early.jsonl", shortened(GOLDEN.read_bytes(), 6, 2))
    first = desk.sign(early, out="first")
    second = desk.sign(GOLDEN, "--previous", first, out="second")
    code, said = desk.verify(GOLDEN, first, second)
    assert (code, said.count("proves")) == (0, 2), said
    code, said = desk.verify(GOLDEN, second, first)
    assert (code, "oldest first" in said) == (2, True), said
    code, said = desk.verify(GOLDEN, first, desk.sign(GOLDEN, out="unrelated"))
    assert (code, "does not name checkpoint 1" in said) == (2, True), said


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_raw_chains_have_checkpoints_too(desk: Desk, form: str) -> None:
    early = desk.file("early", raw_bytes(form, raw_entries(25)))
    checkpoint = desk.sign(early)
    said_of = payload(checkpoint.read_text())
    assert said_of == {
        "aud": "stack-emu:audit-checkpoint",
        "format": "stack-audit-chain/1",
        "operator": "op_acme",
        "entry_hash": raw_entries(25)[-1]["entry_hash"],
        "entry_count": 25,
        "previous": None,
    }
    file = raw_file(form)
    code, said = desk.verify(desk.file("later", write_raw(file)), checkpoint)
    assert (code, "proves 25 rows; 15 stand behind them" in said) == (0, True), said
    for name, entries, kind in [
        ("cut", file.entries[:24], "truncated"),
        ("without its beginning", file.entries[3:], "truncated"),
        ("beginning behind it", file.entries[25:], "truncated"),
    ]:
        code, said = desk.verify(desk.file("spoiled", raw_bytes(form, [dict(one) for one in entries])), checkpoint)
        assert code == 1, name
        assert f": {kind}: " in said, (name, said)
    code, said = desk.run("tamper", desk.folder / "later", "--how", "rehash", "--line", file.lines[7])
    assert code == 0, said
    code, said = desk.verify(desk.folder / "later", checkpoint)
    assert (code, ": rehashed: it is row 25 and not the one that was signed" in said) == (1, True), said
    partial = desk.file("partial", raw_bytes(form, [dict(one) for one in file.entries[3:]]))
    code, said = desk.run("checkpoint", partial, "--key", desk.key)
    assert (code, "needs the whole chain" in said) == (2, True), said


def forgeries(desk: Desk, good: str) -> Iterator[tuple[str, str]]:
    """Texts that are no checkpoint of the key, with what is said of them."""
    head, body, signature = good.split(".")
    other = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    kid = json.loads(desk.jwks.read_text())["keys"][0]["kid"]
    statement = payload(good)

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    yield "nonsense", "not a compact JWS"
    yield f"{head}.{body}", "not a compact JWS"
    yield f"{head}.{body}.{signature}=", "not a compact JWS"
    yield f"{head}.{part({**statement, 'rows': 1})}.{signature}", "was changed, or forged"
    yield sign(statement, other.sign, kid), "was changed, or forged"
    yield sign(statement, other.sign, "another"), "signed with the key another"
    yield f"{part({'alg': 'none', 'typ': 'stack-emu-checkpoint+jws', 'kid': kid})}.{body}.", "alg none"
    yield jwt.encode(statement, desk.private, algorithm="EdDSA", headers={"kid": kid}), "typ JWT"
    typ = "stack-emu-checkpoint+jws"
    crit = {"kid": kid, "typ": typ, "crit": ["b64"], "b64": False}
    signed = f"{part({'alg': 'EdDSA', **crit})}.{body}"
    raw = base64.urlsafe_b64encode(desk.private.sign(signed.encode())).rstrip(b"=").decode()
    yield f"{signed}.{raw}", "no checkpoint"
    for wrong in (
        {**statement, "rows": 1},
        {**statement, "head": "0" * 64},
        {**statement, "aud": "stack:passport"},
        {**statement, "lanes": []},
        {**statement, "format": "other"},
        {},
    ):
        yield sign(wrong, desk.private.sign, kid), "no statement about an audit log"


def test_what_the_key_did_not_sign_as_a_checkpoint_is_none(desk: Desk) -> None:
    good = desk.sign(GOLDEN).read_text().strip()
    for number, (text, named) in enumerate(forgeries(desk, good)):
        code, said = desk.verify(GOLDEN, desk.file("forged", text.encode()))
        assert (code, named in said) == (2, True), (number, said)
        assert said.count("\n") == 1
    code, said = desk.verify(desk.file("raw", raw_bytes("json")), desk.file("cp", good.encode()))
    assert (code, "another kind of log" in said) == (2, True), said


def test_keys_that_cannot_sign_or_verify_are_refused_and_never_shown(desk: Desk) -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "d": base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()}
    as_jwk = desk.file("key.json", json.dumps(jwk).encode())
    by_pem = desk.sign(GOLDEN).read_text()
    code, _ = desk.run("checkpoint", GOLDEN, "--key", as_jwk, "--out", desk.folder / "by_jwk")
    assert (code, (desk.folder / "by_jwk").read_text()) == (0, by_pem)
    elliptic = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for data in (elliptic.private_bytes(*form), b"secret text", b'{"kty":"OKP","crv":"Ed25519","d":"secret"}', b""):
        code, said = desk.run("checkpoint", GOLDEN, "--key", desk.file("bad", data), "--out", desk.folder / "x")
        assert (code, "openssl genpkey" in said, "secret" in said) == (2, True, False), said
    for data in (b"{}", b'{"keys":[{"kty":"RSA"}]}', b"no", b'{"keys":3}'):
        desk.jwks.write_bytes(data)
        code, said = desk.verify(GOLDEN, desk.folder / "cp")
        assert (code, "no Ed25519 key" in said) == (2, True), said
    code, said = desk.run("verify", GOLDEN, "--checkpoint", desk.folder / "cp", "--jwks", "https://example.com/keys")
    assert (code, "not on this machine" in said) == (2, True), said
    code, said = desk.run("checkpoint", GOLDEN)
    assert (code, "--key KEY" in said) == (2, True), said


# --- a running emulator ---------------------------------------------------------------------------------------------------


def proxied(served: Served, client: WorldClient) -> None:
    with getstack.Stack(base_url=served.base_url, api_key="sk_live_emu_shop") as stack:
        token = client.description["passports"]["SHOP_PASSPORT"]
        stack.proxy.get("orders", "https://orders.example.com/orders/7", passport_token=token)


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve(SHOP)


@pytest.fixture
def shop(served: Served) -> Iterator[WorldClient]:
    client = WorldClient.connect(served.base_url)
    yield client
    client.connection.close()


def test_a_running_emulator_signs_its_logs_with_the_key_of_its_passports(
    served: Served, shop: WorldClient, desk: Desk
) -> None:
    proxied(served, shop)
    early = desk.file("early", shop.audit.checkpoint().encode())
    code, _ = desk.run("checkpoint", "--url", served.base_url, "--out", desk.folder / "by_cli", "--jwks-out", desk.jwks)
    assert code == 0
    assert (desk.folder / "by_cli").read_text().strip() == early.read_text() == shop.audit.checkpoint()
    served_keys = httpx.get(f"{served.base_url}/v1/.well-known/jwks.json").json()
    assert served_keys == shop.audit.keys() == json.loads(desk.jwks.read_text())
    raw = desk.file("raw", shop.audit.checkpoint(operator="op_shop").encode())
    later = desk.run("checkpoint", "--url", served.base_url, "--previous", early, "--out", desk.folder / "later")
    assert later[0] == 0
    proxied(served, shop)
    log = desk.file("log", shop.audit.canonical())
    url = f"{served.base_url}/v1/.well-known/jwks.json"
    for checkpoints in ([early], [early, desk.folder / "later"]):
        named = [word for path in checkpoints for word in ("--checkpoint", path)]
        code, said = desk.run("verify", log, *named, "--jwks", url)
        assert (code, said.count("proves 1 rows; 1 stand behind them")) == (0, len(checkpoints)), said
    assert desk.run("export", "--format", "csv", "--url", served.base_url, "--out", desk.folder / "csv")[0] == 0
    code, said = desk.run("verify", desk.folder / "csv", "--checkpoint", raw, "--jwks", url)
    assert (code, "proves 1 rows; 1 stand behind them" in said) == (0, True), said


def test_a_passport_is_no_checkpoint_and_a_checkpoint_no_passport(
    served: Served, shop: WorldClient, desk: Desk
) -> None:
    passport = desk.file("passport", shop.description["passports"]["SHOP_PASSPORT"].encode())
    desk.jwks.write_text(json.dumps(shop.audit.keys()))
    code, said = desk.verify(desk.file("log", shop.audit.canonical()), passport)
    assert (code, "no checkpoint: its header says typ JWT" in said) == (2, True), said
    with (
        getstack.Stack(base_url=served.base_url, api_key="sk_live_emu_shop") as stack,
        pytest.raises(getstack.UnauthorizedError),
    ):
        stack.proxy.get("orders", "https://orders.example.com/orders/7", passport_token=shop.audit.checkpoint())


def test_the_same_calls_leave_the_same_checkpoint(serve: Callable[..., Served]) -> None:
    texts = []
    for _ in range(2):
        served = serve(SHOP)
        client = WorldClient.connect(served.base_url)
        proxied(served, client)
        texts.append((client.audit.checkpoint(), client.audit.checkpoint("content")))
        client.connection.close()
    assert texts[0] == texts[1]
    assert texts[0][0] != texts[0][1]


def test_the_control_route_says_what_it_wants(served: Served) -> None:
    for query, status, named in [
        ("order=random", 400, "commit or content"),
        ("previous=abc", 400, "hex SHA-256"),
        ("operator=op_none", 404, "this world has op_shop"),
    ]:
        reply = httpx.get(f"{served.base_url}/_emu/audit/checkpoint?{query}")
        assert (reply.status_code, named in reply.text) == (status, True), reply.text


def test_a_statement_needs_the_rows_of_one_account() -> None:
    entries = raw_entries(3)
    entries[2] = {**entries[2], "operator_id": "op_other"}
    with pytest.raises(Exception, match="rows of one account"):
        statement_of(read_raw(json.dumps(entries).encode()))
