"""The pack ``openai``: chat completions by the world's script, models, embeddings and moderations."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping
from hashlib import shake_256
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.model_door import ModelAsk
from stack_emu.upstreams.openai.dialect import error, refusal, said_by_model
from stack_emu.upstreams.openai.responses import NotAChat, chat_of, respond
from stack_emu.upstreams.pack_calls import PackOperation, RestCall
from stack_emu.upstreams.packs import Declined
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.rest_pack import RestPack, check_keys

_SOURCE = "openai 3.57.0"
_CHAT, _RESPONSES = "/v1/chat/completions", "/v1/responses"
_MODELS = ("gpt-5.5", "gpt-5", "gpt-5-mini", "gpt-4.1", "text-embedding-3-small", "text-embedding-3-large")
_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
_CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"),
    *("self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"),
)


class OpenAiPack(RestPack):
    """OpenAI's API, answered by the scenario's ``model`` script."""

    title = "OpenAI"
    hosts = ("api.openai.com",)
    clients = ("openai 3.57",)
    seed_keys: Mapping[str, str] = {
        "models": "names of the models that are listed; requests may name any",
        "flagged": "words for which a moderation flags a text as violence",
    }
    declined = (
        Declined("responses.retrieve", "responses are not held; send the whole input.", path="/v1/responses/{id}"),
        Declined("hosted tools of responses", "use the emulator's own Responses API for MCP servers."),
        Declined("files, batches, fine-tuning", "no part of what an agent asks of its model.", path="/v1/files"),
        Declined("audio, images, realtime", "the script answers with text and tool calls."),
        Declined("assistants, threads", "OpenAI withdraws them.", path="/v1/assistants"),
    )

    def asks_model(self, request: UpstreamRequest, lane: str) -> ModelAsk | None:
        """Chat completions are the script's, and so are responses."""
        body = request.content
        if request.method != "POST" or request.path not in (_CHAT, _RESPONSES) or not isinstance(body, dict):
            return None
        if request.path == _CHAT:
            return ModelAsk("openai", body, lane)
        try:
            return ModelAsk("openai", chat_of(body), lane)
        except NotAChat:
            return None

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed whose lists are none."""
        check_names(self.seed_keys, seed)

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the models and the words."""
        for model in seed.get("models", _MODELS):
            self.collection(world, name, "models").put(model, {"id": model})
        for word in seed.get("flagged", ()):
            self.collection(world, name, "flagged").put(word.casefold(), {})

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """Refuse with invalid_api_key; the key that was sent is not repeated."""
        return UpstreamReply.of_json(error(401, "Incorrect API key provided.", code="invalid_api_key"), 401)

    def missing_scope(self, call: RestCall) -> UpstreamReply:
        """Refuse a key that is restricted to other scopes."""
        lacks = f"You have insufficient permissions for this operation. Missing scopes: {call.operation.scopes[0]}"
        return UpstreamReply.of_json(error(403, lacks, code="missing_scope"), 403)

    def injected(self, status: int) -> Any:
        """The error body of a bare status."""
        code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(status)
        return error(status, f"The fake OpenAI was told to answer {status}.", code=code)

    def bad_body(self, request: UpstreamRequest, sentence: str) -> UpstreamReply:
        """Refuse a body that is no JSON object."""
        return UpstreamReply.of_json(error(400, sentence), 400)


def check_names(known: Mapping[str, str], seed: Mapping[str, Any]) -> None:
    """Refuse a seed with unknown keys, or with anything but lists of texts.

    Raises:
        ValueError: one sentence that names the place.
    """
    check_keys("seed", seed, tuple(known))
    for key, listed in seed.items():
        if not isinstance(listed, (list, tuple)):
            raise ValueError(f"seed.{key} is not a list; write one name per line.")
        for number, one in enumerate(listed):
            if not isinstance(one, str) or not one:
                raise ValueError(f"seed.{key}[{number}] is {one!r}; write a text.")


def chat(call: RestCall) -> Any:
    """Complete a chat by the scenario's script; a stream comes as a whole."""
    call.ignore(*call.fields)
    said = said_by_model(call)
    if said.stream is not None:
        return UpstreamReply(200, {"Content-Type": "text/event-stream; charset=utf-8"}, said.stream)
    return said.body


def list_models(call: RestCall) -> Any:
    """List the models."""
    return {"object": "list", "data": [_model(one["id"]) for one in call.collection("models").all()]}


def retrieve_model(call: RestCall) -> Any:
    """Read one model."""
    name = call.params["model"]
    if call.collection("models").get(name) is None:
        message = f"The model '{name}' does not exist or you do not have access to it."
        raise refusal(404, message, code="model_not_found", param="model")
    return _model(name)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "system"}


def embed(call: RestCall) -> Any:
    """Turn texts into vectors of unit length that follow from the world's seed and the text."""
    model, texts = call.field("model"), call.field("input")
    texts = [texts] if isinstance(texts, str) else texts
    call.ignore("user")
    if not isinstance(model, str) or not model:
        raise refusal(400, "you must provide a model parameter")
    if model not in _DIMENSIONS:
        raise refusal(404, f"The model '{model}' does not make embeddings.", code="model_not_found", param="model")
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) and one for one in texts):
        raise refusal(400, "'input' must be a text or a list of texts, none of them empty.", param="input")
    size = call.field("dimensions", _DIMENSIONS[model])
    if not isinstance(size, int) or not 1 <= size <= _DIMENSIONS[model]:
        raise refusal(400, f"'dimensions' must be from 1 to {_DIMENSIONS[model]}.", param="dimensions")
    form = call.field("encoding_format", "float")
    if form not in ("float", "base64"):
        raise refusal(400, "'encoding_format' must be float or base64.", param="encoding_format")
    vectors = [vector(call.context.world, model, one, size) for one in texts]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(one) if form == "base64" else one}
        for index, one in enumerate(vectors)
    ]
    tokens = sum(max(1, math.ceil(len(one) / 4)) for one in texts)
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def vector(world: World, model: str, text: str, size: int) -> list[float]:
    """The vector of a text: equal texts have equal ones, others are unrelated."""
    raw = shake_256(world.key_bytes(f"embedding.{model}", text)).digest(2 * size)
    numbers = [one + 0.5 for one in struct.unpack(f"<{size}h", raw)]
    length = math.sqrt(sum(one * one for one in numbers))
    return [one / length for one in numbers]


def _encoded(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def moderate(call: RestCall) -> Any:
    """Flag texts that have one of the seed's words."""
    given = call.field("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in texts):
        raise refusal(400, "'input' must be a text or a list of texts.", param="input")
    words = [key for key, _ in call.collection("flagged").items()]
    results = [_judged(any(word in one.casefold() for word in words)) for one in texts]
    key = call.mint(call.act.new_id("moderation", "modr-", 24))
    return {"id": key, "model": call.field("model", "omni-moderation-latest"), "results": results}


def _judged(flagged: bool) -> dict[str, Any]:
    hit = {name: flagged and name == "violence" for name in _CATEGORIES}
    return {
        "flagged": flagged,
        "categories": hit,
        "category_scores": {name: 0.99 if bad else 0.0001 for name, bad in hit.items()},
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }


OpenAiPack.served = (
    PackOperation("chat.completions.create", "POST", _CHAT, chat, _SOURCE, ("model.request",)),
    PackOperation("responses.create", "POST", _RESPONSES, respond, _SOURCE, ("api.responses.write", "model.request")),
    PackOperation("models.list", "GET", "/v1/models", list_models, _SOURCE, ("api.model.read", "model.read")),
    PackOperation(
        "models.retrieve", "GET", "/v1/models/{model}", retrieve_model, _SOURCE, ("api.model.read", "model.read")
    ),
    PackOperation("embeddings.create", "POST", "/v1/embeddings", embed, _SOURCE, ("model.request",)),
    PackOperation("moderations.create", "POST", "/v1/moderations", moderate, _SOURCE, ("model.request",)),
)
