"""The model behind the LLM gateway: the scenario's script, the same as the Messages API's, in each provider's shape."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stack_emu.domain.llm_model import ANTHROPIC, OPENROUTER, ModelRefused, ModelReply, ModelRequest
from stack_emu.kernel.canonical import canonical_json
from stack_emu.kernel.faults import CallView
from stack_emu.kernel.journal import Entry
from stack_emu.kernel.world import World
from stack_emu.model_script.conversation import Conversation, read_conversation
from stack_emu.model_script.matching import Facts, Unscripted, bare_name
from stack_emu.model_script.openai_chat import END_MARK, ChatInvalid, chunks, completion, encode, read_chat
from stack_emu.model_script.routing import Offer
from stack_emu.surfaces import messages_reply as reply
from stack_emu.surfaces.messages_errors import STATUS_OF_TYPE, TYPE_OF_STATUS, ApiError
from stack_emu.surfaces.messages_request import read_request
from stack_emu.surfaces.messages_turns import new_id
from stack_emu.surfaces.model_exchange import Leaks, note_leaks
from stack_emu.surfaces.model_faults import ANSWERS, identity_of
from stack_emu.surfaces.model_reply import Answer, Manner, Question, ScriptFor, manner_of, write_reply
from stack_emu.surfaces.model_turns import ASKED, standing_of
from stack_emu.surfaces.stream_faults import stream_fault

if TYPE_CHECKING:
    from stack_emu.scenario.templates import Templates

_PATHS = {ANTHROPIC: ("messages.create", "/v1/messages")}
_CHAT = ("chat.completions.create", "/v1/chat/completions")


@dataclass(frozen=True)
class _Asked:
    """A request, read."""

    model: str
    conversation: Conversation
    offer: Offer
    tokens: int
    count: int
    silent: bool = False
    messages: Sequence[Mapping[str, Any]] = ()
    manner: Manner = field(default_factory=Manner)


class GatewayModel:
    """Answers what the LLM gateway of any world asks.

    Args:
        script_for: the rules of a world for a request body.
        leaks: names the credentials a text holds; what the model reads and writes is shown to it.
    """

    def __init__(self, script_for: ScriptFor, leaks: Leaks) -> None:
        self._script_for = script_for
        self._leaks = leaks
        self._templates: Templates | None = None

    async def complete(self, world: World, request: ModelRequest) -> ModelReply:
        """Answer a request, and write down in the journal what the model saw and said.

        Raises:
            ModelRefused: when there is no answer.
        """
        operation, path = _PATHS.get(request.provider, _CHAT)
        entry = world.journal.add(world.now_ms(), "messages", "POST", path, lane=request.lane, caller=request.agent[0])
        entry.operation, entry.route, entry.act = operation, path, request.act
        entry.request = {"provider": request.provider, "model": world.redactor.text(str(request.body.get("model")))}
        try:
            return await self._answer(world, request, entry, operation, path)
        except Unscripted as error:
            refused = ModelRefused(400, "unscripted", str(error))
        except ChatInvalid as error:
            refused = ModelRefused(400, "invalid_request_error", str(error))
        except ApiError as error:
            refused = ModelRefused(error.status, error.type, error.message, error.headers)
            entry.problem, entry.unread = error.problem, error.unread
        except ModelRefused as error:
            refused = error
        _note_refusal(world, entry, refused)
        raise refused

    def events(self, request: ModelRequest, body: Mapping[str, Any]) -> Iterable[bytes]:
        """An answer as server-sent events: Anthropic's with their names, or OpenAI's with their end mark."""
        if request.provider == ANTHROPIC:
            return _anthropic_events(body)
        options = request.body.get("stream_options")
        with_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        return [*map(encode, chunks(body, with_usage)), END_MARK]

    async def _answer(self, world: World, request: ModelRequest, entry: Entry, operation: str, path: str) -> ModelReply:
        model = str(request.body.get("model"))
        inject = world.faults.take(
            request.lane,
            world.now_ms() - world.clock.start_ms,
            request=CallView("POST", path, (), {}, request.body),
            identity=identity_of(operation, path, request.body),
            **(standing_of(operation, request.body) if world.faults.asks(ASKED) else {}),
            operation=operation,
            method="POST",
            path=path,
            model=model,
            agent=request.agent,
        )
        entry.injected = inject.rule if inject is not None else None
        answer = await _injected(inject, request) if inject else None
        if answer is not None:
            entry.status, entry.response = 200, world.redactor.value({"injected": answer})
            return ModelReply(answer, 0, 0)
        asked = _read(request)
        _note_request(world, entry, request, asked)
        made = await self._write(world, request, entry, asked)
        if inject and (inject.get("drop") == "reply" or inject.get("transport")):
            raise _broken()
        return made

    async def _write(self, world: World, request: ModelRequest, entry: Entry, asked: _Asked) -> ModelReply:
        digest = hashlib.sha256(f"llm {request.provider}\n".encode() + canonical_json(request.body)).hexdigest()
        blocks: list[dict[str, Any]] = []
        facts = Facts(
            user=asked.conversation.anchor,
            system=asked.conversation.system,
            model=asked.model,
            tools=asked.offer.names(),
            agents=request.agent,
        )
        answer = Answer("max_tokens", None, None, (), ())
        if not asked.silent:
            answer = await write_reply(
                Question(world, request.body, asked.messages, facts, asked.conversation, asked.offer),
                self._script_for,
                digest=digest,
                templates=self._renderer(),
                emit=blocks.append,
                manner=asked.manner,
            )
        tokens = (asked.tokens, reply.output_tokens(blocks))
        body = _render(world, request, digest, blocks, answer, tokens)
        about = {"id": body["id"], "stop_reason": answer.stop_reason, "script": list(answer.where)}
        self._note_reply(world, entry, request, about, blocks)
        return ModelReply(body, *tokens)

    def _note_reply(
        self, world: World, entry: Entry, request: ModelRequest, about: dict[str, Any], blocks: list[dict[str, Any]]
    ) -> None:
        entry.status = 200
        entry.response = world.redactor.value({**about, "content": blocks})
        note_leaks(world, entry, self._leaks(world, request.body, blocks))

    def _renderer(self) -> Templates:
        if self._templates is None:
            from stack_emu.scenario.templates import Templates

            self._templates = Templates()
        return self._templates


def _read(request: ModelRequest) -> _Asked:
    if request.provider == ANTHROPIC:
        read = read_request(dict(request.body), ())
        return _Asked(
            read.model,
            read_conversation(read.messages, read.system),
            Offer(client=read.client_tools, deferred=read.deferred_tools),
            reply.input_tokens(read.body),
            len(read.messages),
            silent=read.max_tokens == 0,
            messages=read.messages,
            manner=manner_of(read),
        )
    chat = read_chat(request.body)
    return _Asked(
        chat.model,
        read_conversation(chat.messages),
        Offer(client=chat.tools),
        reply.input_tokens(request.body),
        len(chat.messages),
        messages=chat.messages,
    )


def _render(
    world: World,
    request: ModelRequest,
    digest: str,
    blocks: list[dict[str, Any]],
    answer: Answer,
    tokens: tuple[int, int],
) -> dict[str, Any]:
    model = str(request.body["model"])
    if request.provider == ANTHROPIC:
        body = reply.message(new_id(world.seed, "msg_", digest), model, blocks, reply.usage(*tokens))
        body.update(stop_reason=answer.stop_reason, stop_sequence=answer.stop_sequence)
        if answer.stop_details is not None:
            body["stop_details"] = answer.stop_details
        return body
    prefix = "gen-" if request.provider == OPENROUTER else "chatcmpl-"
    created = world.now_ms() // 1000
    return completion(new_id(world.seed, prefix, digest), created, model, blocks, answer.stop_reason, tokens)


def _anthropic_events(body: Mapping[str, Any]) -> Iterator[bytes]:
    used = body["usage"]
    yield reply.encode(reply.start_events(body["id"], body["model"], {**used, "output_tokens": 1}))
    for index, block in enumerate(body["content"]):
        yield reply.encode(reply.block_events(index, block))
    stop = (body["stop_reason"], body["stop_sequence"], used, body.get("stop_details"))
    yield reply.encode(reply.stop_events(*stop))


def _note_request(world: World, entry: Entry, request: ModelRequest, asked: _Asked) -> None:
    """What the model sees, as far as rules of the script can match on it."""
    seen = {
        "stream": request.body.get("stream") is True,
        "messages": asked.count,
        "user": asked.conversation.anchor,
        "system": asked.conversation.system,
        "turn": asked.conversation.turns_done,
        "tools": [bare_name(name) for name in asked.offer.names()],
    }
    entry.request = world.redactor.value({**entry.request, **seen})


def _note_refusal(world: World, entry: Entry, refused: ModelRefused) -> None:
    entry.status, entry.code = refused.status, refused.type
    entry.hint = world.redactor.text(refused.message)
    if refused.type == "unscripted":
        entry.problem = "unscripted"


async def _injected(inject: Mapping[str, Any], request: ModelRequest) -> dict[str, Any] | None:
    """Do what a fault rule says before the model answers; a JSON body with a good status is the answer.

    Raises:
        ModelRefused: when the rule has the provider fail.
    """
    if inject.get("delay"):
        await asyncio.sleep(inject["delay"] / 1000)
    if inject.get("drop") in (True, "request") or (inject.get("transport") and not ANSWERS.isdisjoint(inject)):
        raise _broken()
    kind = str(inject["error"]).lower() if inject.get("error") else None
    fault = stream_fault(inject)
    if fault is not None:  # the gateway asks for replies as a whole, so a stream's failure is the call's
        await asyncio.sleep(fault.first_token_ms / 1000)
        if fault.cut is not None:
            raise _broken()
        kind = kind or fault.error
    content = inject.get("json") if inject.get("json") is not None else inject.get("body")
    status = inject.get("status") or (STATUS_OF_TYPE.get(kind, 500) if kind else 200)
    if status < 400:
        return dict(content) if isinstance(content, Mapping) and request.body.get("stream") is not True else None
    kind = kind or TYPE_OF_STATUS.get(status, "api_error")
    message = (
        inject.get("message")
        or (fault and fault.message)
        or f"a fault rule of the scenario answers this call with HTTP {status}"
    )
    headers = {str(name): str(value) for name, value in (inject.get("headers") or {}).items()}
    raise ModelRefused(status, kind, message, headers, content)


def _broken() -> ModelRefused:
    return ModelRefused(0, "connection_error", "a fault rule of the scenario broke the connection off")
