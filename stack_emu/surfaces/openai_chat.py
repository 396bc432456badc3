"""Chat completions: what the script answers, whole or in chunks.

Source: openai 3.57.0 `types/chat/chat_completion.py` and `chat_completion_chunk.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from stack_emu.model_script.conversation import read_conversation
from stack_emu.model_script.matching import Facts, bare_name
from stack_emu.model_script.openai_chat import chunks, completion, encode
from stack_emu.model_script.routing import Offer
from stack_emu.model_script.script import plan_reply
from stack_emu.surfaces import messages_reply as reply
from stack_emu.surfaces.connector import Connections
from stack_emu.surfaces.messages_turns import ReplyWriter
from stack_emu.surfaces.openai_chat_request import ChatCall, read_chat_call
from stack_emu.surfaces.openai_exchange import OpenAiExchange
from stack_emu.surfaces.openai_scripts import Scripts


async def answer_chat(exchange: OpenAiExchange, body: Any, scripts: Scripts, *, drop: bool) -> web.StreamResponse:
    """Answer a request.

    Args:
        exchange: the exchange.
        body: parsed JSON.
        scripts: the world's scripts.
        drop: whether the connection breaks once the reply is made.

    Raises:
        OpenAiError: when the request is not valid.
        Unscripted: when the scenario has no turn for it.
    """
    call = read_chat_call(body)
    made = await _make(exchange, call, scripts)
    if not call.stream:
        return exchange.drop() if drop else web.json_response(made, headers=exchange.headers())
    headers = {**exchange.headers(), "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(exchange.request)
    for frame in encode(_chunks(made, call.with_usage)):
        await response.write(frame)
        if drop:
            exchange.drop()
            return response
    await response.write_eof()
    return response


async def _make(exchange: OpenAiExchange, call: ChatCall, scripts: Scripts) -> dict[str, Any]:
    world = exchange.world
    conversation = read_conversation(call.messages)
    offer = Offer(client=call.tools)
    facts = Facts(conversation.anchor, conversation.system, call.model, offer.names(), exchange.api_key())
    exchange.note_request(
        model=call.model,
        stream=call.stream,
        messages=len(call.messages),
        user=conversation.anchor,
        turn=conversation.turns_done,
        tools=[bare_name(name) for name in call.tools],
    )
    plan = plan_reply(scripts.rules(world, call.body), facts, conversation, offer)
    call.choice.check(plan)
    blocks: list[dict[str, Any]] = []
    writer = ReplyWriter(
        seed=world.seed,
        digest=exchange.digest,
        facts=facts,
        results=list(conversation.results),
        connections=Connections(()),
        templates=scripts.templates(),
        emit=blocks.append,
    )
    stop = await writer.take(plan)
    if call.wanted is not None and stop == "end_turn":
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
        call.wanted.check(text, f"{plan[-1].where}.say")
    made = _completion(exchange, call, blocks, stop)
    exchange.finish(
        200,
        sent=blocks,
        received=call.body["messages"],
        id=made["id"],
        stop_reason=stop,
        script=[planned.where for planned in plan],
        content=blocks,
    )
    return made


def _completion(
    exchange: OpenAiExchange, call: ChatCall, blocks: Sequence[Mapping[str, Any]], stop: str
) -> dict[str, Any]:
    asked = [call.body.get("messages"), call.body.get("tools")]
    tokens = (max(1, reply.estimate_tokens(asked)), reply.output_tokens(blocks))
    created = exchange.world.now_ms() // 1000
    made = completion(exchange.new_id("chatcmpl-"), created, call.model, blocks, stop, tokens)
    made["choices"][0]["message"]["annotations"] = []
    made["usage"]["prompt_tokens_details"] = {"cached_tokens": 0, "audio_tokens": 0}
    made["usage"]["completion_tokens_details"] = {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    return {**made, "service_tier": "default", "system_fingerprint": None}


def _chunks(made: Mapping[str, Any], with_usage: bool) -> Iterator[dict[str, Any]]:
    """Chunks as OpenAI sends them: where the tokens are asked for, all chunks have the field, null but in the last."""
    for chunk in chunks(made, with_usage):
        chunk.update(service_tier=made["service_tier"], system_fingerprint=None)
        if with_usage:
            chunk.setdefault("usage", None)
        yield chunk
