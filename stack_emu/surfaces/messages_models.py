"""The models the Messages API lists. A request may name any model: scripts decide, not the catalogue.

Source of the shape: anthropic 2.12.0 `types/model_info.py`; the dates are the epoch, which that type allows for an
unknown one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.surfaces.messages_errors import ApiError
from stack_emu.surfaces.messages_pages import page

_MODELS = {
    "claude-opus-5-5": "Claude Opus 5.5",
    "claude-sonnet-5-5": "Claude Sonnet 5.5",
    "claude-haiku-5-5": "Claude Haiku 5.5",
}

MOST_TOKENS = 128_000
"""How many tokens a listed model writes at most: what the Claude command line 2.1 asks of its default model."""


def most_tokens(name: str) -> int | None:
    """How many tokens a model writes at most, or None for one that is not listed."""
    return MOST_TOKENS if name in _MODELS else None


def list_models(query: Mapping[str, str]) -> dict[str, Any]:
    """`GET /v1/models` with `limit`, `after_id` and `before_id`.

    Raises:
        ApiError: 400 when the limit is not between 1 and 1000, or a cursor names no model.
    """
    return page(query, list(_MODELS), _info, "model")


def retrieve_model(name: str) -> dict[str, Any]:
    """`GET /v1/models/{name}`.

    Raises:
        ApiError: 404 for a model that is not listed.
    """
    if name not in _MODELS:
        raise ApiError(404, f"model: {name} is not in the catalogue; it has {', '.join(_MODELS)}.")
    return _info(name)


def _info(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": _MODELS[name],
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "max_tokens": MOST_TOKENS,
    }
