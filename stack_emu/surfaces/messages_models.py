"""The models the Messages API lists. A request may name any model: scripts decide, not the catalogue.

Source of the shape: anthropic 2.12.0 `types/model_info.py`; the dates are the epoch, which that type allows for an
unknown one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.surfaces.messages_errors import ApiError, invalid

_MODELS = {
    "claude-opus-5-5": "Claude Opus 5.5",
    "claude-sonnet-5-5": "Claude Sonnet 5.5",
    "claude-haiku-5-5": "Claude Haiku 5.5",
}


def list_models(query: Mapping[str, str]) -> dict[str, Any]:
    """`GET /v1/models` with `limit`, `after_id` and `before_id`.

    Raises:
        ApiError: 400 when the limit is not between 1 and 1000.
    """
    limit = query.get("limit", "20")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= 1000:
        raise invalid("limit: must be a whole number from 1 to 1000.")
    names = list(_MODELS)
    if query.get("after_id") in names:
        names = names[names.index(query["after_id"]) + 1 :]
    if query.get("before_id") in names:
        names = names[: names.index(query["before_id"])]
    page = names[: int(limit)]
    return {
        "data": [_info(name) for name in page],
        "has_more": len(names) > len(page),
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }


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
    }
