"""Responses that can be asked for again and gone on from, held in memory for one world, the oldest forgotten first."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stack_emu.surfaces.openai_errors import OpenAiError, invalid

_LIMIT = 1_000
_PAGE = (20, 100)


@dataclass(frozen=True)
class Held:
    """A response and what it answered.

    Args:
        response: as it was sent.
        context: every item before it, those of responses it went on from included.
    """

    response: Mapping[str, Any]
    context: tuple[Mapping[str, Any], ...]

    @property
    def items(self) -> tuple[Mapping[str, Any], ...]:
        """The conversation up to and with the response."""
        return (*self.context, *self.response["output"])


class ResponseStore:
    """The responses of one world, each under the API key it was made with."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Held] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def ordinal(self, api_key: str, digest: str) -> int:
        """How many requests equal to this one came before."""
        key = (_scope(api_key), digest)
        seen = self._counts.pop(key, 0)
        self._counts[key] = seen + 1
        while len(self._counts) > _LIMIT:
            del self._counts[next(iter(self._counts))]
        return seen

    def hold(self, api_key: str, held: Held) -> None:
        """Hold a response."""
        self._held[(_scope(api_key), held.response["id"])] = held
        while len(self._held) > _LIMIT:
            del self._held[next(iter(self._held))]

    def find(self, api_key: str, response_id: str) -> Held:
        """A response by its id.

        Raises:
            OpenAiError: 404 when it is not held.
        """
        held = self._held.get((_scope(api_key), response_id))
        if held is None:
            message = (
                f"No response is held under {response_id}; it was made with store: false, another key, or not here."
            )
            raise OpenAiError(404, message)
        return held

    def previous(self, api_key: str, response_id: str) -> Held:
        """The response a request goes on from.

        Raises:
            OpenAiError: 400 when it is not held.
        """
        try:
            return self.find(api_key, response_id)
        except OpenAiError as error:
            code = "previous_response_not_found"
            raise OpenAiError(400, error.message, code=code, param="previous_response_id") from None

    def delete(self, api_key: str, response_id: str) -> dict[str, Any]:
        """Forget a response.

        Raises:
            OpenAiError: 404 when it is not held.
        """
        self.find(api_key, response_id)
        del self._held[(_scope(api_key), response_id)]
        return {"id": response_id, "object": "response", "deleted": True}

    def referred(self, api_key: str, item_id: str) -> Mapping[str, Any]:
        """The output item an `item_reference` stands for.

        Raises:
            OpenAiError: 404 when no held response has it.
        """
        scope = _scope(api_key)
        for (owner, _), held in self._held.items():
            for item in held.response["output"] if owner == scope else ():
                if item.get("id") == item_id:
                    return dict(item)
        raise OpenAiError(404, f"No item is held under {item_id}; send the item itself.", param="input")


def list_items(held: Held, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of a response's input items, newest first unless `order` is `asc`.

    Raises:
        OpenAiError: 400 when `limit` or `order` cannot be read.
    """
    limit, order = query.get("limit", str(_PAGE[0])), query.get("order", "desc")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= _PAGE[1]:
        raise invalid("limit", f"must be a whole number from 1 to {_PAGE[1]}.")
    if order not in ("asc", "desc"):
        raise invalid("order", "must be asc or desc.")
    items = [_shown(item, index) for index, item in enumerate(held.context)]
    if order == "desc":
        items.reverse()
    ids = [item["id"] for item in items]
    if query.get("after") in ids:
        items = items[ids.index(query["after"]) + 1 :]
    page = items[: int(limit)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > len(page),
    }


def _shown(item: Mapping[str, Any], index: int) -> dict[str, Any]:
    kind = item.get("type") or "message"
    shown = {**item, "type": kind, "id": item.get("id") or f"{kind[:3]}_input_{index}"}
    if kind == "message" and isinstance(item["content"], str):
        part = "output_text" if item["role"] == "assistant" else "input_text"
        shown["content"] = [{"type": part, "text": item["content"]}]
    return shown


def _scope(api_key: str) -> str:
    return hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()


def expand_references(
    store: ResponseStore, api_key: str, items: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """The items with every `item_reference` replaced by what it stands for.

    Raises:
        OpenAiError: 404 when one stands for nothing that is held.
    """
    return tuple(store.referred(api_key, item["id"]) if _is_reference(item) else item for item in items)


def _is_reference(item: Mapping[str, Any]) -> bool:
    return item.get("type") == "item_reference" or (not item.get("type") and "role" not in item)
