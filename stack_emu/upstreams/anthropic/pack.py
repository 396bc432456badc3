"""The pack ``anthropic``: messages by the world's script, token counts and models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.model_door import ModelAsk, ModelSaid
from stack_emu.upstreams.pack_calls import PackOperation, PackRefusal, RestCall
from stack_emu.upstreams.packs import Declined
from stack_emu.upstreams.requests import UpstreamReply, UpstreamRequest
from stack_emu.upstreams.rest_pack import RestPack, check_keys

_SOURCE = "anthropic 2.14.0"
_MESSAGES = "/v1/messages"
_COUNT = "/v1/messages/count_tokens"
_MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error(status: int, message: str, kind: str = "") -> dict[str, Any]:
    """The body of a refusal."""
    usual = _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind or usual, "message": message}}


def refusal(status: int, message: str) -> PackRefusal:
    """A refusal in Anthropic's dialect."""
    return PackRefusal(UpstreamReply.of_json(error(status, message), status))


class AnthropicPack(RestPack):
    """Anthropic's API, answered by the scenario's ``model`` script."""

    title = "Anthropic"
    hosts = ("api.anthropic.com",)
    clients = ("anthropic 2.14",)
    seed_keys: Mapping[str, str] = {"models": "names of the models that are listed; requests may name any"}
    declined = (
        Declined("messages.batches", "use the emulator's own Messages API.", path="/v1/messages/batches"),
        Declined("files", "use the emulator's own Messages API.", path="/v1/files"),
        Declined("admin", "administration of an organisation is not what an agent's key may do."),
    )

    def asks_model(self, request: UpstreamRequest, lane: str) -> ModelAsk | None:
        """Messages are the script's; tokens are counted by a message that may not say anything."""
        body = request.content
        if request.method != "POST" or not isinstance(body, dict) or "anthropic-version" not in request.headers:
            return None
        if request.path == _MESSAGES:
            return ModelAsk("anthropic", body, lane)
        return ModelAsk("anthropic", {**body, "max_tokens": 0}, lane) if request.path == _COUNT else None

    def check(self, seed: Mapping[str, Any]) -> None:
        """Refuse a seed whose models are no list of names."""
        check_keys("seed", seed, tuple(self.seed_keys))
        models = seed.get("models", [])
        if not isinstance(models, (list, tuple)) or not all(isinstance(one, str) and one for one in models):
            raise ValueError("seed.models is not a list of names; write one per line.")

    def seed(self, world: World, name: str, seed: Mapping[str, Any]) -> None:
        """Write the models."""
        for model in seed.get("models", _MODELS):
            self.collection(world, name, "models").put(model, {"id": model})

    def without_credential(self, request: UpstreamRequest) -> UpstreamReply:
        """Refuse with authentication_error."""
        return UpstreamReply.of_json(error(401, "invalid x-api-key"), 401)

    def injected(self, status: int) -> Any:
        """The error body of a bare status."""
        return error(status, f"The fake Anthropic was told to answer {status}.")

    def bad_body(self, request: UpstreamRequest, sentence: str) -> UpstreamReply:
        """Refuse a body that is no JSON object."""
        return UpstreamReply.of_json(error(400, sentence), 400)

    def before(self, call: RestCall) -> None:
        """Refuse a request without a version.

        Raises:
            PackRefusal: when the header is missing.
        """
        if "anthropic-version" not in call.request.headers:
            raise refusal(400, "anthropic-version: header is required")

    def after(self, call: RestCall, reply: UpstreamReply) -> UpstreamReply:
        """Give the request its id."""
        headers = reply.headers.copy()
        headers["request-id"] = call.act.new_id("request", "req_", 24)
        return UpstreamReply(reply.status, headers, reply.body)


def _said(call: RestCall) -> ModelSaid:
    call.ignore(*call.fields)
    said = call.context.said or ModelSaid(400, message="The body is not a JSON object")
    if said.status != 200:
        kind = {"unscripted": "invalid_request_error"}.get(said.kind, said.kind)
        body = said.body if said.body is not None else error(said.status, said.message, kind)
        raise PackRefusal(UpstreamReply.of_json(body, said.status, said.headers), said.message)
    return said


def create_message(call: RestCall) -> Any:
    """Answer with a message by the scenario's script; a stream comes as a whole."""
    call.ignore("query.beta")
    said = _said(call)
    if said.stream is not None:
        return UpstreamReply(200, {"Content-Type": "text/event-stream; charset=utf-8"}, said.stream)
    return said.body


def count_tokens(call: RestCall) -> Any:
    """Count the tokens of a message that is not sent."""
    call.ignore("query.beta")
    return {"input_tokens": _said(call).body["usage"]["input_tokens"]}


def list_models(call: RestCall) -> Any:
    """List the models in pages."""
    names = [one["id"] for one in call.collection("models").all()]
    limit = call.query("limit", "20") or ""
    if not limit.isdigit() or not 1 <= int(limit) <= 1000:
        raise refusal(400, "limit: must be from 1 to 1000")
    after, before = call.query("after_id"), call.query("before_id")
    for name, cursor in (("after_id", after), ("before_id", before)):
        if cursor is not None and cursor not in names:
            raise refusal(400, f"{name}: there is no model {cursor}")
    start = names.index(after) + 1 if after is not None else 0
    end = names.index(before) if before is not None else len(names)
    if before is not None and after is None:
        start = max(0, end - int(limit))
    page = names[start:end][: int(limit)]
    more = start > 0 if before is not None and after is None else start + len(page) < end
    ends = {"first_id": page[0] if page else None, "last_id": page[-1] if page else None}
    return {"data": [_model(name) for name in page], "has_more": more, **ends}


def retrieve_model(call: RestCall) -> Any:
    """Read one model."""
    name = call.params["model"]
    if call.collection("models").get(name) is None:
        raise refusal(404, f"model: {name}")
    return _model(name)


def _model(name: str) -> dict[str, Any]:
    words = name.replace("-", " ").title()
    return {"type": "model", "id": name, "display_name": words, "created_at": "1970-01-01T00:00:00Z"}


AnthropicPack.served = (
    PackOperation("messages.create", "POST", _MESSAGES, create_message, _SOURCE),
    PackOperation("messages.count_tokens", "POST", _COUNT, count_tokens, _SOURCE),
    PackOperation("models.list", "GET", "/v1/models", list_models, _SOURCE),
    PackOperation("models.retrieve", "GET", "/v1/models/{model}", retrieve_model, _SOURCE),
)
