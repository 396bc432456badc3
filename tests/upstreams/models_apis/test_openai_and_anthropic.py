"""Models' APIs as upstreams: the SDKs of both get the script's answers, over a socket and through STACK's proxy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import yaml
from getstack import Stack

from stack_emu.domain.llm_model import SETTING
from stack_emu.emulator import Emulator
from stack_emu.hosting import ask_world_model
from stack_emu.kernel.faults import FaultRule
from stack_emu.scenario.loader import loads
from stack_emu.surfaces.llm_model import GatewayModel
from stack_emu.upstreams.credentials import AcceptedCredential
from stack_emu.upstreams.packs import find_pack
from stack_emu.upstreams.requests import UpstreamRequest
from tests.upstreams.conftest import TOKEN, Bench, Service

SCRIPT = """
stack_emu: 1
model:
  - when: {user: weather}
    turns: [{say: It rains.}]
  - when: {user: file a ticket}
    turns:
      - call: {tool: file, input: {title: rain}}
      - say: Filed.
"""
HELLO: list[Any] = [{"role": "user", "content": "How is the weather?"}]
UNKNOWN: list[Any] = [{"role": "user", "content": "Sing."}]
Start = Callable[..., Service]


@pytest.fixture
def scripted(serve: Start) -> Start:
    """Serve a pack whose world has a script."""

    def start(pack: str, **options: Any) -> Service:
        service = serve(pack, model=ask_world_model, **options)
        rules = loads(SCRIPT).model
        service.world.settings[SETTING] = GatewayModel(lambda world, body: rules, lambda world, received, blocks: ())
        return service

    return start


@pytest.fixture
def closing() -> Iterator[Callable[[Any], Any]]:
    """Close a client when the test is over."""
    clients: list[Any] = []

    def keep(client: Any) -> Any:
        clients.append(client)
        return client

    yield keep
    for client in clients:
        client.close()


def of_openai(service: Service, key: str = TOKEN) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=f"{service.base_url}/v1", max_retries=0)


def of_anthropic(service: Service, key: str = TOKEN) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=key, base_url=service.base_url, max_retries=0)


def test_the_openai_sdk_drives_every_operation(scripted: Start, closing: Callable[[Any], Any]) -> None:
    service = scripted("openai", seed={"flagged": ["bomb"]})
    client = closing(of_openai(service))
    said = client.chat.completions.create(model="gpt-5", messages=HELLO)
    assert said.choices[0].message.content == "It rains."
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens > 0
    stream = client.chat.completions.create(model="gpt-5", messages=HELLO, stream=True)
    assert "".join(one.choices[0].delta.content or "" for one in stream if one.choices) == "It rains."
    assert client.responses.create(model="gpt-5", input="How is the weather?").output_text == "It rains."
    with client.responses.stream(model="gpt-5", input=HELLO) as events:
        assert events.get_final_response().output_text == "It rains."
    assert "gpt-5" in [one.id for one in client.models.list()]
    assert client.models.retrieve("gpt-5").id == "gpt-5"
    made = client.embeddings.create(model="text-embedding-3-small", input=["a", "b", "a"], dimensions=8)
    first, second, third = (one.embedding for one in made.data)
    assert first == third != second
    assert sum(one * one for one in first) == pytest.approx(1, abs=1e-5)
    plain = client.embeddings.create(model="text-embedding-3-small", input="a", dimensions=8, encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(first, abs=1e-6)
    assert len(client.embeddings.create(model="text-embedding-3-large", input="a").data[0].embedding) == 3072
    judged = client.moderations.create(input=["a Bomb", "a cake"]).results
    assert [one.flagged for one in judged] == [True, False]
    assert judged[0].categories.violence
    assert service.undriven() == []
    assert service.unread() == set()


def test_a_response_calls_a_function_and_goes_on(scripted: Start, closing: Callable[[Any], Any]) -> None:
    client = closing(of_openai(scripted("openai")))
    tools: list[Any] = [{"type": "function", "name": "file", "parameters": {"type": "object"}, "strict": False}]
    items: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "Please file a ticket"}]}]
    with client.responses.stream(model="gpt-5", input=items, tools=tools) as events:
        [called] = events.get_final_response().output
    assert (called.name, json.loads(called.arguments)) == ("file", {"title": "rain"})
    call = {"type": "function_call", "call_id": called.call_id, "name": called.name, "arguments": called.arguments}
    items += [call, {"type": "function_call_output", "call_id": called.call_id, "output": "TCK-1"}]
    ended = client.responses.create(model="gpt-5", input=items, tools=tools)
    assert (ended.output_text, ended.status) == ("Filed.", "completed")


def test_the_anthropic_sdk_drives_every_operation(scripted: Start, closing: Callable[[Any], Any]) -> None:
    service = scripted("anthropic", seed={"models": ["claude-a", "claude-b", "claude-c"]})
    client = closing(of_anthropic(service))
    said = client.messages.create(model="claude-a", max_tokens=64, messages=HELLO)
    assert said.content[0].text == "It rains."
    assert said.usage.input_tokens == client.messages.count_tokens(model="claude-a", messages=HELLO).input_tokens > 0
    with client.messages.stream(model="claude-a", max_tokens=64, messages=HELLO) as stream:
        assert stream.get_final_text() == "It rains."
    assert [one.id for one in client.models.list(limit=2)] == ["claude-a", "claude-b", "claude-c"]
    back = client.models.list(limit=1, before_id="claude-c")
    assert ([one.id for one in back.data], back.has_more) == (["claude-b"], True)
    assert client.models.retrieve("claude-b").display_name == "Claude B"
    assert service.undriven() == []
    assert service.unread() == set()


@pytest.mark.parametrize(
    ("call", "raised", "words"),
    [
        (lambda c: c.chat.completions.create(model="gpt-5", messages=UNKNOWN), openai.BadRequestError, "Sing"),
        (lambda c: c.models.retrieve("gpt-0"), openai.NotFoundError, "gpt-0"),
        (lambda c: c.embeddings.create(model="gpt-5", input="a"), openai.NotFoundError, "embeddings"),
        (lambda c: c.embeddings.create(model="text-embedding-3-small", input=[]), openai.BadRequestError, "input"),
        (lambda c: c.responses.create(model="gpt-5", input="Sing."), openai.BadRequestError, "Sing"),
        (lambda c: c.responses.create(model="m", input="a", previous_response_id="r"), openai.BadRequestError, "held"),
        (lambda c: c.responses.retrieve("resp_1"), openai.InternalServerError, "not held"),
    ],
)
def test_the_openai_sdk_raises_its_errors(
    scripted: Start, closing: Callable[[Any], Any], call: Callable[[Any], Any], raised: type[Exception], words: str
) -> None:
    client = closing(of_openai(scripted("openai")))
    with pytest.raises(raised, match=words):
        call(client)


@pytest.mark.parametrize(
    ("call", "raised", "words"),
    [
        (
            lambda c: c.messages.create(model="m", max_tokens=9, messages=UNKNOWN),
            anthropic.BadRequestError,
            "Sing",
        ),
        (lambda c: c.models.retrieve("claude-0"), anthropic.NotFoundError, "claude-0"),
        (lambda c: c.models.list(limit=0), anthropic.BadRequestError, "limit"),
        (lambda c: c.models.list(after_id="claude-0"), anthropic.BadRequestError, "after_id"),
    ],
)
def test_the_anthropic_sdk_raises_its_errors(
    scripted: Start, closing: Callable[[Any], Any], call: Callable[[Any], Any], raised: type[Exception], words: str
) -> None:
    client = closing(of_anthropic(scripted("anthropic")))
    with pytest.raises(raised, match=words):
        call(client)


def test_keys_nobody_knows_and_scopes_that_lack(scripted: Start, closing: Callable[[Any], Any]) -> None:
    narrow = scripted("openai", scopes=("model.read",))
    with pytest.raises(openai.AuthenticationError) as refused:
        closing(of_openai(narrow, "sk-wrong")).models.list()
    assert refused.value.code == "invalid_api_key"
    assert "sk-wrong" not in str(refused.value)
    with pytest.raises(openai.PermissionDeniedError, match=r"model\.request"):
        closing(of_openai(narrow)).moderations.create(input="a")
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        closing(of_anthropic(scripted("anthropic"), "sk-ant-wrong")).models.list()


def test_an_injected_429_is_each_sdks_rate_limit(scripted: Start, closing: Callable[[Any], Any]) -> None:
    for pack, client_of, raised in (
        ("openai", of_openai, openai.RateLimitError),
        ("anthropic", of_anthropic, anthropic.RateLimitError),
    ):
        service = scripted(pack)
        service.world.faults.add(FaultRule({"upstream": pack}, {"status": 429}))
        with pytest.raises(raised):
            closing(client_of(service)).models.list()


def test_through_stacks_proxy_the_scenarios_script_answers(tmp_path: Path) -> None:
    packs = ("openai", "anthropic")
    scenario = {
        **yaml.safe_load(SCRIPT),
        "strict": False,
        "operator": {"id": "op_acme", "keys": [{"key": "sk_live_emu_acme"}]},
        "services": [{"id": f"scon_{one}", "provider": one, "credential": "canary", "upstream": one} for one in packs],
        "upstreams": {one: {"pack": one} for one in packs},
    }
    file = tmp_path / "models.yaml"
    file.write_text(yaml.safe_dump(scenario))
    with Emulator() as emulator:
        world = emulator.world(scenario=file, clock="virtual")
        stack = Stack(api_key="sk_live_emu_acme", base_url=world.base_url)
        body: dict[str, Any] = {"model": "gpt-5", "messages": HELLO}
        url = "https://api.openai.com/v1/chat/completions"
        said = stack.proxy.request("openai", url, method="POST", body=body)
        assert said.body["choices"][0]["message"]["content"] == "It rains."
        streamed = stack.proxy.request("openai", url, method="POST", body={**body, "stream": True})
        assert "data: [DONE]" in (streamed.body if isinstance(streamed.body, str) else json.dumps(streamed.body))
        message = stack.proxy.request(
            "anthropic",
            "https://api.anthropic.com/v1/messages",
            method="POST",
            headers={"anthropic-version": "2023-06-01"},
            body={"model": "claude-a", "max_tokens": 9, "messages": HELLO},
        )
        assert message.body["content"][0]["text"] == "It rains."
        routes = [one["route"] for one in world.journal if one["surface"] == "upstream"]
        stack.close()
    assert routes == ["/v1/chat/completions", "/v1/chat/completions", "/v1/messages"]


@pytest.mark.parametrize(
    ("pack", "seed", "sentence"),
    [
        ("openai", {"model": []}, "seed has no key 'model'; did you mean models?"),
        ("openai", {"flagged": [3]}, "seed.flagged[0] is 3; write a text."),
        ("anthropic", {"models": "claude"}, "seed.models is not a list of names; write one per line."),
    ],
)
def test_a_seed_that_cannot_work_is_refused(pack: str, seed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        find_pack(pack).check(seed)
    assert str(caught.value) == sentence


def test_racing_lanes_get_the_same_in_either_order(bench: Callable[..., Bench]) -> None:
    def run(order: str) -> dict[str, bytes]:
        made = bench({"openai": {"pack": "openai"}}, {"openai": [AcceptedCredential(TOKEN, "scon")]})
        url, key = "https://api.openai.com/v1/moderations", {"Authorization": f"Bearer {TOKEN}"}
        ask = {one: UpstreamRequest.of_json("POST", url, {"input": f"by {one}"}, key) for one in order}
        return {one: made.ask("openai", ask[one], lane=f"agent:{one}").body for one in order}

    assert run("ab") == run("ba")
