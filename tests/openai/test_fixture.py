"""The pytest fixture's own clients of OpenAI."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import openai
import pytest


@pytest.fixture
def scripted(stack_emu):
    stack_emu.model.script({"when": {"user": "hi"}, "turns": [{"say": "Hello."}]})
    return stack_emu


def test_the_clients_are_pointed_at_the_world(scripted):
    assert scripted.openai().responses.create(model="m", input="hi").output_text == "Hello."

    async def talk() -> str:
        async with scripted.async_openai() as client:
            made = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
            return made.choices[0].message.content or ""

    assert asyncio.run(talk()) == "Hello."
    assert scripted.openai_base_url.endswith("/openai/v1")


def test_a_lane_has_a_base_url_of_its_own(scripted):
    lane = scripted.lane("blue")
    assert "/~blue/" in lane.openai_base_url
    assert lane.openai().responses.create(model="m", input="hi").output_text == "Hello."


def test_a_program_finds_the_world_in_its_environment(scripted):
    program = "import openai; print(openai.OpenAI().responses.create(model='m', input='hi').output_text)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=scripted.env, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "Hello.\n"


def test_a_function_of_the_test_is_given_the_body_as_sent(stack_emu):
    bodies = []

    def answer(body):
        bodies.append(body)
        return {"say": f"You said {body['input']}."}

    stack_emu.model.script(answer)
    assert stack_emu.openai().responses.create(model="m", input="hi").output_text == "You said hi."
    assert [body["input"] for body in bodies] == ["hi"]


@pytest.mark.stack_emu(transparent=True)
def test_the_real_name_leads_to_the_test_s_world_when_transparent(scripted):
    with openai.OpenAI() as client:
        assert str(client.base_url) == "https://api.openai.com/v1/"
        assert client.responses.create(model="m", input="hi").output_text == "Hello."
