"""What prompt caching shows in usage, driven by the real SDK, on the world's clock."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

SCRIPT = "model: [{turns: [{say: one}, {say: two}, {say: three}, {say: four}]}]"
LONG = "A rule that every agent keeps. " * 200
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
MINUTE = 60_000


def text(value: str, marker: Any = None) -> dict[str, Any]:
    return {"type": "text", "text": value, **({"cache_control": marker} if marker else {})}


def ask(sdk: Any, *, system: Any = None, messages: Any = None, **more: Any) -> Any:
    body = {
        "model": "claude-opus-5-5",
        "system": system if system is not None else [text(LONG, EPHEMERAL)],
        "messages": messages or [{"role": "user", "content": "hi"}],
        **more,
    }
    counted = sdk.beta.messages.count_tokens(**body).input_tokens
    used = sdk.beta.messages.create(max_tokens=9, **body).usage
    assert used.input_tokens + used.cache_creation_input_tokens + used.cache_read_input_tokens == counted
    creation = used.cache_creation
    assert creation.ephemeral_5m_input_tokens + creation.ephemeral_1h_input_tokens == used.cache_creation_input_tokens
    return used


def figures(used: Any) -> tuple[int, int]:
    return used.cache_creation_input_tokens, used.cache_read_input_tokens


def test_a_prompt_is_written_and_then_read_for_five_minutes(emulate, client):
    emulated = emulate(SCRIPT)
    sdk = client(emulated)
    first = ask(sdk)
    size = first.cache_creation_input_tokens
    assert size > 1_500
    assert figures(first) == (size, 0)
    assert first.cache_creation.ephemeral_5m_input_tokens == size
    assert 0 < first.input_tokens < 20
    emulated.world.clock.move(4 * MINUTE)
    assert figures(ask(sdk)) == (0, size)
    emulated.world.clock.move(4 * MINUTE)
    assert figures(ask(sdk)) == (0, size), "a read begins the five minutes anew"
    emulated.world.clock.move(5 * MINUTE)
    assert figures(ask(sdk)) == (size, 0)


def test_an_hour_is_an_hour(emulate, client):
    emulated = emulate(SCRIPT)
    sdk = client(emulated)
    first = ask(sdk, system=[text(LONG, HOUR)])
    assert first.cache_creation.ephemeral_1h_input_tokens == first.cache_creation_input_tokens > 0
    emulated.world.clock.move(59 * MINUTE)
    assert ask(sdk, system=[text(LONG, HOUR)]).cache_read_input_tokens == first.cache_creation_input_tokens


def test_an_hour_and_five_minutes_are_told_apart(emulate, client):
    sdk = client(emulate(SCRIPT))
    messages = [{"role": "user", "content": [text(LONG, EPHEMERAL), text("hi")]}]
    used = ask(sdk, system=[text(LONG, HOUR)], messages=messages)
    assert used.cache_creation.ephemeral_1h_input_tokens > 1_000
    assert used.cache_creation.ephemeral_5m_input_tokens > 1_000


def test_a_conversation_reads_what_the_turn_before_wrote(emulate, client):
    sdk = client(emulate(SCRIPT))
    first = [{"role": "user", "content": [text("hi", EPHEMERAL)]}]
    written = ask(sdk, system=LONG, messages=first).cache_creation_input_tokens
    longer = [
        {"role": "user", "content": [text("hi")]},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": [text("and then? " * 50, EPHEMERAL)]},
    ]
    used = ask(sdk, system=LONG, messages=longer)
    assert used.cache_read_input_tokens == written
    assert 100 < used.cache_creation_input_tokens < 200
    assert used.input_tokens == 0


def test_the_whole_prompt_can_be_marked_at_once(emulate, client):
    sdk = client(emulate(SCRIPT))
    first = ask(sdk, system=LONG, cache_control=EPHEMERAL)
    assert first.cache_creation_input_tokens > 1_500
    assert ask(sdk, system=LONG, cache_control=EPHEMERAL).cache_read_input_tokens == first.cache_creation_input_tokens


def test_tools_and_results_can_be_marked(emulate, client):
    sdk = client(emulate(SCRIPT))
    tools = [{"name": "t", "description": LONG, "input_schema": {"type": "object"}, "cache_control": EPHEMERAL}]
    size = ask(sdk, system="x", tools=tools).cache_creation_input_tokens
    assert size > 1_500
    assert ask(sdk, system="another", tools=tools).cache_read_input_tokens == size
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [text(LONG, EPHEMERAL)]}],
        },
    ]
    used = ask(sdk, system="x", tools=tools, messages=messages)
    assert used.cache_read_input_tokens == size
    assert used.cache_creation_input_tokens > 1_500


def test_markers_are_no_part_of_the_prompt_and_short_prompts_are_not_cached(emulate, client):
    sdk = client(emulate(SCRIPT))
    assert figures(ask(sdk, system=[text("short", EPHEMERAL)])) == (0, 0)
    marked, bare = ([text(LONG, EPHEMERAL), text("more")], [text(LONG), text("more", EPHEMERAL)])
    size = ask(sdk, system=marked).cache_creation_input_tokens
    assert ask(sdk, system=bare).cache_read_input_tokens == size, "one of the twenty blocks before the marker"


def test_another_key_model_lane_or_text_has_another_cache(emulate, client):
    emulated = emulate(SCRIPT)
    sdk = client(emulated)
    ask(sdk)
    assert ask(sdk).cache_read_input_tokens > 0
    assert ask(client(emulated, api_key="other")).cache_read_input_tokens == 0
    assert ask(sdk, system=[text(LONG + "!", EPHEMERAL)]).cache_read_input_tokens == 0
    assert ask(client(emulated, default_headers={"X-Stack-Emu-Lane": "b"})).cache_read_input_tokens == 0
    assert ask(sdk).cache_read_input_tokens > 0


def test_a_reset_empties_the_cache(emulate, client):
    emulated = emulate(SCRIPT)
    seed = emulated.world.image()
    sdk = client(emulated)
    before = [figures(ask(sdk)), figures(ask(sdk))]
    emulated.world.restore(seed)
    assert [figures(ask(sdk)), figures(ask(sdk))] == before


def test_a_stream_says_the_same_about_the_cache(emulate, client):
    sdk = client(emulate(SCRIPT))
    body = {
        "model": "m",
        "max_tokens": 9,
        "system": [text(LONG, EPHEMERAL)],
        "messages": [{"role": "user", "content": "hi"}],
    }
    with sdk.messages.stream(**body) as stream:
        written = stream.get_final_message().usage
    with sdk.messages.stream(**body) as stream:
        read = stream.get_final_message().usage
    assert written.cache_creation_input_tokens == read.cache_read_input_tokens > 1_500
    assert written.cache_creation.ephemeral_5m_input_tokens == written.cache_creation_input_tokens


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ([text("x", {"type": "eternal"})], 'system.0.cache_control: must be {"type": "ephemeral"}'),
        ([text("x", {"type": "ephemeral", "ttl": "2h"})], 'system.0.cache_control.ttl: must be "5m" or "1h".'),
        ([text("x", {"type": "ephemeral", "tll": "1h"})], "system.0.cache_control.tll: the Messages API has no such"),
        ([text("x", EPHEMERAL)] * 5, "cache_control: 5 blocks are marked; at most 4 may be."),
        ([text("x", EPHEMERAL), text("y", HOUR)], 'cache_control.ttl: a marker with "1h" must stand before'),
    ],
)
def test_markers_are_checked(emulate, client, system, expected):
    with pytest.raises(anthropic.BadRequestError) as caught:
        client(emulate(SCRIPT)).messages.create(
            model="m", max_tokens=9, system=system, messages=[{"role": "user", "content": "hi"}]
        )
    assert expected in caught.value.message


def test_a_picture_counts_as_one_whatever_it_holds(emulate, client):
    sdk = client(emulate(SCRIPT))

    def count(data: str) -> int:
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        return sdk.messages.count_tokens(model="m", messages=[{"role": "user", "content": [image]}]).input_tokens

    assert count("AAAA") == count("A" * 40_000)
    assert 1_600 <= count("AAAA") < 1_620
