"""Parameters as Stripe takes them: forms with nested brackets, checked by name and kind."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from stack_emu.upstreams.pack_calls import PackRefusal, RestCall
from stack_emu.upstreams.requests import UpstreamReply

_CURRENCIES = "aud brl cad chf czk dkk eur gbp hkd huf inr jpy mxn nok nzd pln ron sek sgd usd"
CURRENCIES = frozenset(_CURRENCIES.split())
"""Currencies the fake takes; Stripe takes more."""

_MOST_KEYS, _LONGEST_KEY, _LONGEST_VALUE = 50, 40, 500
_INTEGERS = 2**63


def refuse(
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    status: int = 400,
    kind: str = "invalid_request_error",
    hint: str | None = None,
    **more: Any,
) -> PackRefusal:
    """A refusal in Stripe's shape. Keyword arguments not named here are further fields of ``error``."""
    return PackRefusal(UpstreamReply.of_json(error(message, kind, code=code, param=param, **more), status), hint)


def error(message: str, kind: str, **fields: Any) -> dict[str, Any]:
    """The body of an error; fields that are None are left out, and a code brings the address of its page."""
    known = {name: value for name, value in fields.items() if value is not None}
    if "code" in known:
        known["doc_url"] = f"https://docs.stripe.com/error-codes/{str(known['code']).replace('_', '-')}"
    return {"error": {"type": kind, "message": message, **known}}


def nest(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Names with brackets as nested mappings and lists: ``items[0][price]``, ``metadata[order]``, ``expand[]``.

    Raises:
        ValueError: when brackets do not pair, or a name is both a value and a mapping.
    """
    root: dict[str, Any] = {}
    for name, value in pairs:
        head, *keys = name.replace("]", "").split("[")
        if name.count("[") != name.count("]") or not head:
            raise ValueError(f"Invalid parameter name: {name}")
        place = root
        for key, following in zip([head, *keys], keys, strict=False):
            place = place.setdefault(key or str(len(place)), {})
            if not isinstance(place, dict):
                raise ValueError(f"Invalid parameter: {name} is both a value and a mapping, at {following or '[]'}")
        last = [head, *keys][-1]
        place[last or str(len(place))] = value
    return {name: _lists(value, name) for name, value in root.items()}


def _lists(value: Any, name: str) -> Any:
    """Mappings whose keys count up from 0 as lists; metadata never is one."""
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(item, key) for key, item in value.items()}
    if name != "metadata" and inner and list(inner) == [str(number) for number in range(len(inner))]:
        return list(inner.values())
    return inner


def arguments(call: RestCall, known: Mapping[str, str], without_effect: Collection[str] = ()) -> dict[str, Any]:
    """The parameters of a call, converted; a name that Stripe does not know is refused as Stripe refuses it.

    Args:
        call: the call.
        known: name to kind: ``text``, ``count`` (an integer of at least 0), ``flag``, ``metadata``, ``map``, ``list``,
            ``currency``, ``any``.
        without_effect: names Stripe knows and the fake does nothing with; they are reported as unread.

    Raises:
        PackRefusal: ``parameter_unknown`` and its like.
    """
    given = {**_query(call), **call.fields}
    call.ignore(*(name for name in call.fields if name not in without_effect))
    call.ignore(*(f"query.{name}" for name, _ in call.request.query if name.partition("[")[0] not in without_effect))
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in without_effect:
            continue
        kind = "list" if name == "expand" else known.get(name)
        if kind is None:
            raise refuse(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")
        found[name] = convert(name, value, kind)
    return found


def _query(call: RestCall) -> dict[str, Any]:
    try:
        return nest(call.request.query)
    except ValueError as problem:
        raise refuse(str(problem)) from None


def convert(name: str, value: Any, kind: str) -> Any:
    """One parameter's value; an empty text is None, which unsets what it names."""
    if kind == "any" or (value == "" and kind not in ("count", "flag", "currency")):
        return None if value == "" else value
    if kind in ("text", "count", "flag", "currency") and not isinstance(value, str):
        raise refuse(f"Invalid string: {name} was given as a mapping or list", param=name)
    if kind == "count":
        return _count(name, value)
    if kind == "flag":
        if value not in ("true", "false"):
            raise refuse(f"Invalid boolean: {value}", param=name)
        return value == "true"
    if kind == "currency":
        if value.lower() not in CURRENCIES:
            raise refuse(
                f"Invalid currency: {value}", param=name, hint=f"The fake takes {', '.join(sorted(CURRENCIES))}."
            )
        return value.lower()
    if kind == "list":
        if not isinstance(value, list):
            raise refuse(f"Invalid array: {name}", param=name)
        return value
    if kind in ("map", "metadata") and not isinstance(value, dict):
        raise refuse(f"Invalid object: {name}", param=name)
    return value


def _count(name: str, value: str) -> int:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(_INTEGERS)):
        raise refuse(f"Invalid integer: {value}", param=name, code="parameter_invalid_integer")
    if value.startswith("-"):
        raise refuse(f"Invalid non-negative integer: {value}", param=name, code="parameter_invalid_integer")
    return int(value)


def require(given: Mapping[str, Any], *names: str) -> None:
    """Refuse a call that lacks a parameter, or gives it empty."""
    for name in names:
        if name not in given:
            raise refuse(f"Missing required param: {name}.", param=name, code="parameter_missing")
        if given[name] is None:
            raise refuse(f"An empty value was given for {name}.", param=name, code="parameter_invalid_empty")


def one_of(given: Mapping[str, Any], name: str, *values: str) -> None:
    """Refuse a value of ``name`` that is none of these."""
    value = given.get(name)
    if value is not None and value not in values:
        raise refuse(f"Invalid {name}: must be one of {', '.join(values)}", param=name)


def merged(old: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, str]:
    """Metadata after a change: an empty value removes its key, an empty ``metadata`` removes all."""
    if "metadata" not in given:
        return dict(old)
    change = given["metadata"]
    if change is None:
        return {}
    result = {**old, **change}
    for key, value in change.items():
        if not isinstance(value, str) or len(value) > _LONGEST_VALUE or len(key) > _LONGEST_KEY:
            limits = f"keys have up to {_LONGEST_KEY} characters and values are texts of up to {_LONGEST_VALUE}"
            raise refuse(f"Invalid metadata: {limits}", param=f"metadata[{key}]")
        if value == "":
            del result[key]
    if len(result) > _MOST_KEYS:
        raise refuse(f"Metadata can have up to {_MOST_KEYS} keys", param="metadata")
    return result
