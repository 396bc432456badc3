"""The leak drill: secrets are taken out of the emulator in every way that was thought of, and each attempt is caught."""

from __future__ import annotations

import gzip
import json
import subprocess
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import anthropic
import httpx
import openai
import pytest

from stack_emu.domain.state import Connection
from tests.conftest import Served
from tests.guarantees.conftest import Ground
from tests.guarantees.tour import OPERATOR, STEPS, Tour, registry
from tests.secrets.conftest import KEY, PLACES, Mirror, credential, leaks, passport_of, readable, said
from tests.secrets.ways import BYTES, WAYS, Tally, letters_of_one_case

JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
BEARER = {"Authorization": f"Bearer {KEY}"}


class Asking:
    """REST and MCP of a served world, replies as bytes."""

    def __init__(self, served: Served) -> None:
        self.http = httpx.Client(base_url=served.base_url, headers={**JSON, **BEARER}, trust_env=False, timeout=30)
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "drill", "version": "1"}}
        begun = self._rpc("initialize", hello)
        self.http.headers["Mcp-Session-Id"] = begun.headers["mcp-session-id"]
        self.http.headers["MCP-Protocol-Version"] = "2025-11-25"
        self.http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _rpc(self, method: str, params: dict[str, Any]) -> httpx.Response:
        return self.http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

    def rest(self, path: str, body: dict[str, Any], **headers: str) -> bytes:
        reply = self.http.post(path, json=body, headers=headers)
        return b"\n".join([*(name + b": " + value for name, value in reply.headers.raw), reply.content])

    def tool(self, name: str, arguments: dict[str, Any]) -> bytes:
        return self._rpc("tools/call", {"name": name, "arguments": arguments}).content

    def proxied(self, surface: str, call: dict[str, Any]) -> bytes:
        if surface == "rest":
            return self.rest("/v1/proxy", call)
        return self.tool("stack_proxy_request", call)


@pytest.fixture
def asking(lair: Served):
    made = Asking(lair)
    yield made
    made.http.close()


def forms_of(way: str, secret: str) -> list[bytes]:
    """What a reply must not hold: the secret as written, and as JSON writes that."""
    if way in BYTES:
        return [BYTES[way](secret), secret.encode()]
    text = WAYS[way](secret)
    return [text.encode(), json.dumps(text)[1:-1].encode(), secret.encode()]


@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_an_upstream_that_echoes_its_credential_gives_it_to_nobody(lair: Served, asking: Asking, surface: str) -> None:
    tally = Tally(f"echoes over {surface}")
    for connection, service in (("scon_mirror", "mirror"), ("scon_basic", "scon_basic")):
        secret = credential(lair, connection)
        for way in WAYS:
            for place in PLACES:
                if place in ("header", "redirect") and "\n" in WAYS[way](secret):
                    continue  # no header can carry it
                if service == "scon_basic" and (way in ("backwards", "letters apart", "upper case")):
                    continue  # what the mirror sees there is Base64 already
                url = f"https://mirror.test/echo?in={place}&as={way}"
                reply = readable(asking.proxied(surface, {"service": service, "url": url}))
                hidden = not any(form in reply for form in forms_of(way, secret))
                packed = place in ("gzip", "deflate") and any(
                    form in _unpacked(reply) for form in forms_of(way, secret)
                )
                told = any(connection in hint for hint in said(lair))
                tally.note(hidden and not packed and told, f"{connection} {way} in {place}")
    secret = credential(lair, "scon_mirror")
    for way in BYTES:
        reply = readable(asking.proxied(surface, {"service": "mirror", "url": f"https://mirror.test/e?in=-&as={way}"}))
        told = any("scon_mirror" in hint for hint in said(lair))
        tally.note(not any(form in reply for form in forms_of(way, secret)) and told, f"bytes: {way}")
    tally.end()


def _unpacked(reply: bytes) -> bytes:
    found = b""
    for magic, window in ((b"\x1f\x8b", 31), (b"\x78\x9c", 15)):
        if magic in reply:
            try:
                found += zlib.decompressobj(window).decompress(reply[reply.index(magic) :])
            except zlib.error:
                continue
    return found


@pytest.mark.parametrize("surface", ["rest", "mcp"])
def test_what_an_upstream_kept_comes_back_to_nobody_with_another_service(
    lair: Served, asking: Asking, mirror: tuple[str, Mirror], surface: str
) -> None:
    tally = Tally(f"kept and sent back over {surface}")
    secret = credential(lair, "scon_mirror")
    assert b"kept" in asking.proxied(surface, {"service": "mirror", "url": "https://mirror.test/keep"})
    assert mirror[1].kept == [secret]
    for way in WAYS:
        for place in ("json", "pieces", "page"):
            url = f"https://store.test/kept?in={place}&as={way}"
            reply = asking.proxied(surface, {"service": "other", "url": url})
            told = [hint for hint in leaks(lair) if "scon_mirror" in hint and "in the re" in hint]
            tally.note(bool(told) and not any(form in reply for form in forms_of(way, secret)), f"{way} in {place}")
    tally.end()


def secrets_of(lair: Served, asking: Asking) -> dict[str, str]:
    """A secret of every kind, by the name it must be told by."""
    body = {"channel_type": "webhook", "destination": "https://hooks.drill.test/x"}
    hook = asking.http.post("/v1/notifications/destinations", json=body).json()
    return {
        "credential of scon_slack": credential(lair, "scon_slack"),
        "credential of scon_basic.auth_token": credential(lair, "scon_basic"),
        "key:0": KEY,
        "passport:pp_one": passport_of(lair),
        "webhook-secret": hook["webhook_secret"],
    }


def test_every_kind_of_secret_is_seen_in_every_way(lair: Served, asking: Asking) -> None:
    tally = Tally("kinds of secrets in every way")
    kinds = secrets_of(lair, asking)
    said(lair)
    for name, secret in kinds.items():
        for way, written in WAYS.items():
            if way == "upper case" and not letters_of_one_case(secret):
                continue  # letters of both cases: what is left is no secret any more
            if name in ("passport:pp_one",) and way in ("backwards", "letters apart", "base32", "base64 of UTF-16"):
                continue  # tokens are known by their form, not one by one; docs/secrets.md says so
            asking.rest("/v1/agents/register", {"name": "spy", "description": written(secret)})
            told = [hint for hint in leaks(lair) if name in hint and "$.description" in hint]
            tally.note(bool(told), f"{name}: {way}")
            tally.note(not any(secret in hint for hint in told), f"{name}: {way} is shown")
    tally.end()


def test_a_secret_in_any_field_of_any_operation_is_told_by_its_path(ground: Ground) -> None:
    tally = Tally("fields of operations")
    secret = ground.world.store.get(Connection, "scon_slack").credential
    tour = Tour(ground.world)
    taken: set[tuple[str, str]] = set()
    for step in STEPS:
        declared = registry().operations[step.operation]
        raw = tour.raw(step)
        tour.take(step, ground.over_rest)
        hidden = declared.token_fields | declared.secret_fields
        for name, value in raw.items():
            if not isinstance(value, str) or name in hidden or (step.operation, name) in taken:
                continue
            taken.add((step.operation, name))
            ground.do(ground.world.journal.clear)
            image = ground.do(ground.world.image)
            ground.over_rest(step, {**raw, name: secret})
            hints = [str(entry.hint) for entry in ground.world.journal.violations() if entry.problem == "leak"]
            ground.do(lambda image=image: ground.world.restore(image))
            tally.note(any("scon_slack" in hint for hint in hints), f"{step.operation}.{name}")
    tally.end()


CARRIERS: dict[str, Callable[[Asking, str], object]] = {
    "a Slack message": lambda ask, text: ask.rest(
        "/v1/proxy",
        {
            "service": "slack",
            "method": "POST",
            "url": "https://slack.com/api/chat.postMessage",
            "body": {"channel": "#random", "text": text},
        },
    ),
    "a URL's query": lambda ask, text: ask.rest(
        "/v1/proxy", {"service": "slack", "url": "https://slack.com/api/auth.test", "query": {"t": text}}
    ),
    "a mission's intent": lambda ask, text: ask.rest("/v1/missions", {"agent_id": "agt_one", "intent_summary": text}),
    "a header": lambda ask, text: ask.rest(
        "/v1/agents/register", {"name": "spy"}, **{"X-Note": text.encode("unicode_escape").decode()}
    ),
    "the User-Agent": lambda ask, text: ask.rest(
        "/v1/agents/register", {"name": "spy"}, **{"User-Agent": text.encode("unicode_escape").decode()}
    ),
    "the query string": lambda ask, text: ask.http.get("/v1/agents", params={"q": text}),
    "the path": lambda ask, text: ask.http.get(f"/v1/agents/{quote(text, safe='')}"),
    "a tool's argument": lambda ask, text: ask.tool("stack_register_agent", {"name": "spy", "description": text}),
    "a Slack message by MCP": lambda ask, text: ask.tool(
        "stack_proxy_request",
        {
            "service": "slack",
            "method": "POST",
            "url": "https://slack.com/api/chat.postMessage",
            "body": {"channel": "#random", "text": text},
        },
    ),
    "the wrong upstream": lambda ask, text: ask.rest(
        "/v1/proxy",
        {"service": "mirror", "url": "https://mirror.test/keep", "method": "POST", "body": {"a": {"b": [text]}}},
    ),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_what_an_agent_carries_out_is_seen_on_its_way(lair: Served, asking: Asking, carrier: str) -> None:
    tally = Tally(carrier)
    secret = credential(lair, "scon_slack")
    for way, written in WAYS.items():
        CARRIERS[carrier](asking, written(secret))
        tally.note(any("scon_slack" in hint for hint in leaks(lair)), way)
    tally.end()


def model_conversations(text: str) -> dict[str, dict[str, Any]]:
    """Requests of the Messages API that hold a text somewhere."""
    half = len(text) // 2
    use = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}

    def after_use(*content: Any) -> list[dict[str, Any]]:
        return [
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": list(content)},
        ]

    result = {"type": "tool_result", "tool_use_id": "toolu_1"}
    pieces = [{"type": "text", "text": "a"}, *({"type": "text", "text": part} for part in (text[:half], text[half:]))]
    return {
        "messages[0].content": {"messages": [{"role": "user", "content": text}]},
        "system": {"system": text, "messages": [{"role": "user", "content": "hi"}]},
        "messages[2].content[0].content": {"messages": after_use({**result, "content": text})},
        "messages[2].content[0].content[0].text": {
            "messages": after_use({**result, "content": [{"type": "text", "text": text}]})
        },
        "messages[0].content[1].text": {"messages": [{"role": "user", "content": pieces}]},
        "messages[0].content[0].text": {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": text[:half]}]},
                {"role": "assistant", "content": [{"type": "text", "text": text[half:]}]},
                {"role": "user", "content": "go on"},
            ]
        },
    }


def test_a_secret_in_the_model_s_context_is_told_by_message_and_block(lair: Served) -> None:
    tally = Tally("the model's context over the Messages API")
    secret = credential(lair, "scon_slack")
    with anthropic.Anthropic(base_url=f"{lair.base_url}/anthropic", api_key="sk-ant-emu", max_retries=0) as sdk:
        for way, written in WAYS.items():
            for where, asked in model_conversations(written(secret)).items():
                sdk.messages.create(model="claude-opus-5-5", max_tokens=50, **asked)
                told = leaks(lair)
                tally.note(any("scon_slack" in hint and where in hint for hint in told), f"{way} at {where}: {told}")
    tally.end()


def test_a_secret_in_the_model_s_context_is_seen_over_openai_too(lair: Served) -> None:
    tally = Tally("the model's context over OpenAI's APIs")
    secret = credential(lair, "scon_slack")
    with openai.OpenAI(base_url=f"{lair.base_url}/openai/v1", api_key="sk-emu", max_retries=0) as sdk:
        for way, written in WAYS.items():
            text = written(secret)
            sdk.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": text}])
            tally.note(any("scon_slack" in hint and "messages[0]" in hint for hint in leaks(lair)), f"chat: {way}")
            sdk.responses.create(model="gpt-5", input=text, instructions="be brief")
            tally.note(any("scon_slack" in hint and "input" in hint for hint in leaks(lair)), f"responses: {way}")
    tally.end()


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_repeats_a_secret_is_not_heard(lair: Served, stream: bool) -> None:
    tally = Tally(f"the model's replies, {'streamed' if stream else 'whole'}")
    secret = credential(lair, "scon_slack")
    ask = {"max_tokens": 900, "stream": stream}
    for way, written in WAYS.items():
        text = f"repeat after me {written(secret)}"
        messages = [{"role": "user", "content": text}]
        for path, body in (
            ("/anthropic/v1/messages", {"model": "claude-opus-5-5", "messages": messages, **ask}),
            ("/openai/v1/chat/completions", {"model": "gpt-5", "messages": messages, **ask}),
            ("/openai/v1/responses", {"model": "gpt-5", "input": text, "stream": stream}),
        ):
            headers = {"anthropic-version": "2023-06-01", "x-api-key": "sk-ant-emu", "Authorization": "Bearer sk-emu"}
            reply = httpx.post(lair.base_url + path, json=body, headers=headers, trust_env=False, timeout=30)
            assert reply.status_code == 200, reply.text
            heard = _heard(reply.text, stream)
            hidden = not any(form in heard.encode() for form in forms_of(way, secret))
            tally.note(hidden and any("scon_slack" in hint for hint in leaks(lair)), f"{path}: {way}")
    tally.end()


def _heard(text: str, stream: bool) -> str:
    """A reply's text, put together from its deltas when it is a stream."""
    if not stream:
        return text
    parts = []
    for line in text.splitlines():
        if line.startswith("data: {"):
            event = json.loads(line[6:])
            delta = event.get("delta") or (event.get("choices") or [{}])[0].get("delta") or {}
            parts.append(delta if isinstance(delta, str) else delta.get("text") or delta.get("content") or "")
    return "".join(parts) + text


def test_curl_gets_nothing_either(lair: Served) -> None:
    tally = Tally("curl")
    secret = credential(lair, "scon_mirror")
    for way in WAYS:
        call = json.dumps({"service": "mirror", "url": f"https://mirror.test/e?in=json&as={way}"})
        command = ["curl", "-sS", "-i", "--noproxy", "*", "-H", f"Authorization: Bearer {KEY}", "-d", call]
        done = subprocess.run([*command, f"{lair.base_url}/v1/proxy"], capture_output=True, timeout=30, check=True)
        tally.note(not any(form in done.stdout for form in forms_of(way, secret)), way)
    tally.end()


def test_gzip_sent_as_a_body_is_looked_into(lair: Served) -> None:
    body = gzip.compress(json.dumps({"name": "spy", "description": credential(lair, "scon_slack")}).encode())
    headers = {**JSON, **BEARER, "Content-Encoding": "gzip"}
    assert httpx.post(f"{lair.base_url}/v1/agents/register", content=body, headers=headers, trust_env=False).is_success
    (hint,) = leaks(lair)
    assert "credential of scon_slack (in clear, $.description)" in hint


def test_the_operator_s_key_is_no_secret_where_it_belongs(lair: Served, asking: Asking) -> None:
    asking.http.get("/v1/agents")
    asking.tool("stack_list_agents", {})
    asking.rest(
        "/v1/proxy", {"service": "slack", "url": "https://slack.com/api/auth.test", "passport_token": passport_of(lair)}
    )
    assert leaks(lair) == []
    assert OPERATOR != KEY
