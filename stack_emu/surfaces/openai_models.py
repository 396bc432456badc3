"""The models the OpenAI API lists. A request may name any model: scripts decide, not the catalogue.

Source of the shape: openai 3.57.0 `types/model.py`; `created` is the epoch, because when a model was made is nobody's test.
"""

from __future__ import annotations

from typing import Any

from stack_emu.surfaces.openai_errors import OpenAiError

_MODELS = ("gpt-5.5", "gpt-5", "gpt-5-mini", "gpt-4.1")


def list_models() -> dict[str, Any]:
    """`GET /v1/models`."""
    return {"object": "list", "data": [_model(name) for name in _MODELS]}


def retrieve_model(name: str) -> dict[str, Any]:
    """`GET /v1/models/{name}`.

    Raises:
        OpenAiError: 404 for a model that is not listed.
    """
    if name not in _MODELS:
        message = f"model: {name} is not in the catalogue; it has {', '.join(_MODELS)}."
        raise OpenAiError(404, message, code="model_not_found", param="model")
    return _model(name)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "system"}
