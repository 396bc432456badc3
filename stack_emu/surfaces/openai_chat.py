"""Chat completions: what the script answers, whole or in chunks.

Source: openai 3.57.0 `types/chat/chat_completion.py` and `chat_completion_chunk.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from stack_emu.model_script.conversation import read_conversation
from stack_emu.model_script.matching import Facts, bare_name
from stack_emu.model_script.openai_chat import END_MARK, chunks, completion, encode
from stack_emu.model_script.routing import Offer
from stack_emu.surfaces import messages_reply as reply
from stack_emu.surfaces.model_reply import Manner, Question, write_reply
from stack_emu.surfaces.openai_chat_request import ChatCall, read_chat_call
from stack_emu.surfaces.openai_delivery import Failing, Frame, send_stream, whole_fault
from stack_emu.surfaces.openai_errors import OpenAiError
from stack_emu.surfaces.openai_exchange import OpenAiExchange
from stack_emu.surfaces.openai_scripts import Scripts


async def answer_chat(exchange: OpenAiExchange, body: Any, scripts: Scripts, failing: Failing) -> web.StreamResponse:
    """Answer a request.

    Args:
        exchange: the exchange.
        body: parsed JSON.
        scripts: the world's scripts.
        failing: what goes wrong once the reply is made.

    Raises:
        OpenAiError: when the request is not valid.
        Unscripted: when the scenario has no turn for it.
    """
    call = read_chat_call(body)
    made = await _make(exchange, call, scripts)
    if not call.stream:
        return await whole_fault(exchange, failing) or web.json_response(made, headers=exchange.headers())
    return await send_stream(exchange, _frames(made, call.with_usage), failing, _error_frame)


async def _frames(made: Mapping[str, Any], with_usage: bool) -> AsyncIterator[Frame]:
    sent = list(_chunks(made, with_usage))
    for chunk, following in zip(sent, [*sent[1:], None], strict=True):
        piece = _carries(chunk, "arguments") or bool(_delta(chunk).get("content"))
        closes = piece and (following is None or _ends(following) or _carries(following, "name"))
        yield Frame(encode(chunk), piece, closes, ends=_ends(chunk))
    yield Frame(END_MARK, ends=True)


def _delta(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    return chunk["choices"][0]["delta"] if chunk["choices"] else {}


def _carries(chunk: Mapping[str, Any], part: str) -> bool:
    """Whether a chunk has a piece of a call."""
    return any(call.get("function", {}).get(part) for call in _delta(chunk).get("tool_calls") or ())


def _ends(chunk: Mapping[str, Any]) -> bool:
    return not chunk["choices"] or chunk["choices"][0]["finish_reason"] is not None


def _error_frame(error: OpenAiError) -> bytes:
    return encode(error.body())


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
    blocks: list[dict[str, Any]] = []
    wanted = call.wanted
    answer = await write_reply(
        Question(world, call.body, call.messages, facts, conversation, offer),
        scripts.rules,
        digest=exchange.digest,
        templates=scripts.templates(),
        emit=lambda block: blocks.append(exchange.screened(block)),
        manner=Manner(
            max_tokens=call.max_tokens,
            stop_sequences=call.stop,
            output_schema=wanted.schema if wanted is not None else None,
            check_output=wanted.check if wanted is not None else None,
            check_plan=call.choice.check,
        ),
    )
    made = _completion(exchange, call, blocks, answer.stop_reason)
    exchange.finish(
        200,
        sent=list(answer.blocks),
        received={"messages": call.body["messages"]},
        id=made["id"],
        stop_reason=answer.stop_reason,
        script=list(answer.where),
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
