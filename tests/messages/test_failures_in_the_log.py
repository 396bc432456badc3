"""What the log says when the emulator itself fails while it makes a reply: where, and no secret."""

from __future__ import annotations

import logging

import anthropic
import openai
import pytest

SECRET = "a-secret-of-the-vault"
SCENARIO = "stack_emu: 1\nstrict: false\nmodel: [{turns: [{say: Hello.}]}]\n"


@pytest.mark.parametrize("shape", ["anthropic", "responses", "chat"])
def test_a_failure_is_logged_with_its_secrets_masked(serve, monkeypatch, caplog, shape):
    served = serve(SCENARIO)
    served.hosted.world.redactor.add(SECRET, "scon_slack")

    def fail(*arguments, **options):
        raise RuntimeError(f"holding {SECRET}")

    monkeypatch.setattr("stack_emu.surfaces.messages_turns.ReplyWriter.take", fail)
    with caplog.at_level(logging.ERROR, "stack_emu"):
        if shape == "anthropic":
            with (
                anthropic.Anthropic(base_url=f"{served.base_url}/anthropic", api_key="k", max_retries=0) as sdk,
                pytest.raises(anthropic.InternalServerError, match="The emulator failed"),
            ):
                sdk.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        else:
            with (
                openai.OpenAI(base_url=f"{served.base_url}/openai/v1", api_key="k", max_retries=0) as sdk,
                pytest.raises(openai.InternalServerError, match="The emulator failed"),
            ):
                if shape == "chat":
                    sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
                sdk.responses.create(model="m", input="hi")
    assert "RuntimeError: holding" in caplog.text
    assert SECRET not in caplog.text
