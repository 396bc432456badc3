"""The key a client calls the model with is a secret of the world from its first request on; placeholders are none."""

from __future__ import annotations

import json
from collections.abc import Callable

import anthropic
import httpx
import openai
import pytest

from stack_emu.hosting import recorded_rules
from stack_emu.verdict import verdict
from tests.conftest import KEY, Served
from tests.secrets.conftest import leaks

ANTHROPIC_KEY = "sk-ant-api03-Zm9vYmFyYmF6-q1w2e3r4t5"
OPENAI_KEY = "sk-proj-9f8e7d6c5b4a39281706"
DECLARED = "sk-ant-api03-declared-in-the-scenario"
WORLD = f"""
stack_emu: 1
model:
  - when: {{user: secretly, key: {DECLARED}}}
    turns: [{{say: For you alone.}}]
  - when: {{user: repeat after me}}
    turns: [{{say: "{{{{ user }}}}"}}]
  - turns: [{{say: Noted}}]
"""


def by_anthropic(served: Served, key: str, text: str) -> str:
    base = f"{served.base_url}/anthropic"
    with anthropic.Anthropic(base_url=base, api_key=key, max_retries=0) as sdk:
        said = sdk.messages.create(model="claude-opus-5-5", max_tokens=99, messages=[{"role": "user", "content": text}])
    return str(said.content[0].text)


def by_openai(served: Served, key: str, text: str) -> str:
    with openai.OpenAI(base_url=f"{served.base_url}/openai/v1", api_key=key, max_retries=0) as sdk:
        said = sdk.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": text}])
    return str(said.choices[0].message.content)


ASK = {"anthropic": (by_anthropic, ANTHROPIC_KEY), "openai": (by_openai, OPENAI_KEY)}
CLIENTS = pytest.mark.parametrize("client", ASK)


def register(served: Served, description: str) -> str:
    body, headers = {"name": "spy", "description": description}, {"Authorization": f"Bearer {KEY}"}
    reply = httpx.post(f"{served.base_url}/v1/agents/register", json=body, headers=headers, trust_env=False)
    assert reply.status_code == 201
    return reply.text


def kept(served: Served) -> str:
    """All that is kept and shown of a run."""
    return json.dumps(
        [
            [vars(entry) for entry in served.world.journal.entries()],
            recorded_rules(served.hosted),
            verdict(served.hosted).as_dict(),
        ],
        default=str,
    )


@CLIENTS
def test_the_first_request_that_holds_its_own_key_shows_it_nowhere(serve: Callable[..., Served], client: str) -> None:
    served = serve(WORLD, strict=True)
    ask, key = ASK[client]
    assert key not in ask(served, key, f"repeat after me {key}")
    assert key not in kept(served)
    assert any("model-key:" in hint for hint in leaks(served))


@CLIENTS
def test_a_key_that_was_seen_is_a_leak_anywhere_else(serve: Callable[..., Served], client: str) -> None:
    served = serve(WORLD, strict=True)
    ask, key = ASK[client]
    assert ask(served, key, "hello") == "Noted"
    assert leaks(served) == []
    assert key not in register(served, f"calls the model with {key}")
    told = leaks(served)
    assert len(told) == 1
    assert told[0].startswith("model-key:")
    assert "$.description" in told[0]
    assert key not in kept(served)


@CLIENTS
def test_an_error_does_not_show_it(serve: Callable[..., Served], client: str) -> None:
    served = serve(WORLD)
    _, key = ASK[client]
    headers = {"Authorization": f"Bearer {key}", "anthropic-version": "2023-06-01"}
    for path in (f"/anthropic/v1/models/{key}", f"/openai/v1/{key}", f"/anthropic/{key}"):
        reply = httpx.get(served.base_url + path, headers=headers, trust_env=False)
        assert reply.status_code in (404, 400), reply.text
        assert key not in reply.text
    assert key not in kept(served)


@pytest.mark.parametrize("key", ["x", "test", "sk-ant-emu", "elevenchars"])
def test_a_placeholder_masks_nothing(serve: Callable[..., Served], key: str) -> None:
    served = serve(WORLD, strict=True)
    for ask in (by_anthropic, by_openai):
        assert ask(served, key, f"repeat after me: {key} of a text") == f"repeat after me: {key} of a text"
    assert f"{key} of agents" in register(served, f"{key} of agents")
    assert leaks(served) == []


def test_a_key_the_scenario_declares_is_known_before_any_request(serve: Callable[..., Served]) -> None:
    served = serve(WORLD, strict=True)
    assert DECLARED not in register(served, f"knows {DECLARED}")
    assert any("model-key:0" in hint for hint in leaks(served))
    assert by_anthropic(served, DECLARED, "secretly") == "For you alone."
    assert by_anthropic(served, ANTHROPIC_KEY, "secretly") == "Noted"
    assert leaks(served) == []


def test_a_key_a_test_scripts_for_is_known_as_well(serve: Callable[..., Served]) -> None:
    served = serve(WORLD, strict=True)
    rules = {"rules": [{"when": {"key": OPENAI_KEY}, "turns": [{"say": "Scripted"}]}]}
    httpx.post(f"{served.base_url}/_emu/model", json=rules, trust_env=False).raise_for_status()
    assert OPENAI_KEY not in register(served, f"knows {OPENAI_KEY}")
    assert any("model-key:" in hint for hint in leaks(served))
    assert by_openai(served, OPENAI_KEY, "hello") == "Scripted"


def test_another_secret_used_as_the_model_s_key_keeps_its_name(serve: Callable[..., Served]) -> None:
    served = serve(WORLD, strict=True)
    by_anthropic(served, KEY, "hello")
    register(served, f"knows {KEY}")
    assert any(hint.startswith("key:0 ") for hint in leaks(served))


def test_a_client_that_makes_up_keys_teaches_a_hundred_at_most(serve: Callable[..., Served]) -> None:
    served = serve(WORLD)
    with httpx.Client(base_url=served.base_url, trust_env=False) as http:
        for number in range(120):
            http.get("/openai/v1/models", headers={"Authorization": f"Bearer made-up-key-{number:04d}"})
    known = [name for _, name, _ in served.world.redactor.scanner.known() if name.startswith("model-key:")]
    assert len(known) == 100  # the one the scenario declares among them
