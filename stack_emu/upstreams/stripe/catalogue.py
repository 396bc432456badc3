"""Products and prices."""

from __future__ import annotations

from typing import Any

from stack_emu.upstreams.pack_calls import RestCall
from stack_emu.upstreams.stripe.arguments import arguments, convert, merged, one_of, refuse, require
from stack_emu.upstreams.stripe.objects import (
    LISTING,
    Doc,
    alive,
    answer,
    before_change,
    change,
    emit,
    fetch,
    listing,
    make,
    shown,
)

_PRODUCT = {
    "name": "text",
    "active": "flag",
    "description": "text",
    "metadata": "metadata",
    "images": "list",
    "url": "text",
    "unit_label": "text",
    "shippable": "flag",
    "statement_descriptor": "text",
}
_KEPT = ("name", "active", "description", "images", "url", "unit_label", "shippable", "statement_descriptor")
_PRODUCT_NO_EFFECT = ("tax_code", "package_dimensions", "marketing_features")


def create_product(call: RestCall) -> Any:
    """Create a product, with its first price in ``default_price_data``."""
    given = arguments(call, {**_PRODUCT, "id": "text", "default_price_data": "map"}, _PRODUCT_NO_EFFECT)
    require(given, "name")
    if given.get("id") and call.collection("products").get(given["id"]) is not None:
        raise refuse("Product already exists.", code="resource_already_exists", param="id")
    product = make(
        call,
        "products",
        given.get("id"),
        **{
            **dict.fromkeys(
                ("description", "package_dimensions", "shippable", "statement_descriptor", "tax_code", "url")
            ),
            "active": True,
            "default_price": None,
            "images": [],
            "marketing_features": [],
            "type": "service",
            "unit_label": None,
            "updated": call.now_ms // 1000,
            **{name: given[name] for name in _KEPT if name in given},
        },
        metadata=merged({}, given),
    )
    call.mint(product["id"])
    if given.get("default_price_data"):
        data = given["default_price_data"]
        for name in data:
            if name not in _PRICE:
                raise refuse(
                    f"Received unknown parameter: default_price_data[{name}]",
                    param=f"default_price_data[{name}]",
                    code="parameter_unknown",
                )
        price = _new_price(call, {name: convert(name, value, _PRICE[name]) for name, value in data.items()}, product)
        product = change(call, "products", product, default_price=price["id"])
    emit(call, "product.created", product)
    return answer(call, product, given)


def get_product(call: RestCall) -> Any:
    """Retrieve a product."""
    given = arguments(call, {})
    return answer(call, fetch(call, "products", call.params["id"]), given)


def update_product(call: RestCall) -> Any:
    """Change a product; ``default_price`` names one of its prices."""
    given = arguments(call, {**_PRODUCT, "default_price": "text"}, _PRODUCT_NO_EFFECT)
    old = alive(call, "products")
    default = given.get("default_price")
    if default and fetch(call, "prices", default, "default_price")["product"] != old["id"]:
        raise refuse(f"The price {default} does not belong to this product.", param="default_price")
    fields = {name: given[name] for name in (*_KEPT, "default_price") if name in given}
    fields = {**fields, "updated": call.now_ms // 1000, "metadata": merged(old["metadata"], given)}
    new = change(call, "products", old, **fields)
    emit(call, "product.updated", new, before_change(old, new))
    return answer(call, new, given)


def delete_product(call: RestCall) -> Any:
    """Delete a product that has no prices."""
    arguments(call, {})
    old = alive(call, "products")
    if any(price["product"] == old["id"] for price in call.collection("prices").all()):
        raise refuse("This product cannot be deleted because it has one or more user-created prices.")
    emit(call, "product.deleted", old)
    return shown(change(call, "products", old, _deleted=True))


def list_products(call: RestCall) -> Any:
    """List products, newest first, also by ``active`` and ``ids``."""
    given = arguments(call, {**LISTING, "active": "flag", "ids": "list"}, ("shippable", "url"))

    def is_wanted(doc: Doc) -> bool:
        return given.get("active") in (None, doc["active"]) and ("ids" not in given or doc["id"] in given["ids"])

    return listing(call, "products", given, is_wanted)


# --- prices -----------------------------------------------------------------------------------------------------------

_PRICE = {
    "currency": "currency",
    "unit_amount": "count",
    "product": "text",
    "active": "flag",
    "nickname": "text",
    "lookup_key": "text",
    "recurring": "map",
    "metadata": "metadata",
    "product_data": "map",
}
_PRICE_NO_EFFECT = ("tax_behavior", "tiers", "tiers_mode", "billing_scheme", "transform_quantity", "currency_options")


def _new_price(call: RestCall, given: dict[str, Any], product: Doc) -> Doc:
    require(given, "currency", "unit_amount")
    recurring = given.get("recurring")
    if recurring is not None:
        require({f"recurring[{name}]": value for name, value in recurring.items()}, "recurring[interval]")
        one_of({"recurring[interval]": recurring["interval"]}, "recurring[interval]", "day", "week", "month", "year")
        count = convert("recurring[interval_count]", recurring.get("interval_count", "1"), "count")
        usage = {"meter": None, "trial_period_days": None, "usage_type": recurring.get("usage_type", "licensed")}
        recurring = {"interval": recurring["interval"], "interval_count": count, **usage}
    _free_lookup_key(call, given)
    price = make(
        call,
        "prices",
        active=given.get("active", True),
        billing_scheme="per_unit",
        currency=given["currency"],
        custom_unit_amount=None,
        lookup_key=given.get("lookup_key"),
        metadata=merged({}, given),
        nickname=given.get("nickname"),
        product=product["id"],
        recurring=recurring,
        tax_behavior="unspecified",
        tiers_mode=None,
        transform_quantity=None,
        type="one_time" if recurring is None else "recurring",
        unit_amount=given["unit_amount"],
        unit_amount_decimal=str(given["unit_amount"]),
    )
    emit(call, "price.created", price)
    return price


def _free_lookup_key(call: RestCall, given: dict[str, Any], but: str | None = None) -> None:
    key = given.get("lookup_key")
    if key and any(one["lookup_key"] == key and one["id"] != but for one in call.collection("prices").all()):
        raise refuse(f"A price already uses the lookup key {key}.", param="lookup_key", code="resource_already_exists")


def create_price(call: RestCall) -> Any:
    """Create a price of a product that exists, or of a new one in ``product_data``."""
    given = arguments(call, _PRICE, _PRICE_NO_EFFECT)
    if ("product" in given) == ("product_data" in given):
        raise refuse("You must specify either `product` or `product_data` when creating a price.", param="product")
    if "product" in given:
        product = fetch(call, "products", given["product"], "product")
    else:
        name = (given["product_data"] or {}).get("name")
        if not name:
            raise refuse(
                "Missing required param: product_data[name].", param="product_data[name]", code="parameter_missing"
            )
        fields = dict.fromkeys(("description", "package_dimensions", "shippable", "tax_code", "unit_label", "url"))
        fields = {**fields, "active": True, "default_price": None, "images": [], "marketing_features": []}
        fields = {**fields, "statement_descriptor": None, "type": "service", "updated": call.now_ms // 1000}
        product = make(call, "products", name=name, metadata=merged({}, given["product_data"]), **fields)
        emit(call, "product.created", product)
    return answer(call, _new_price(call, given, product), given)


def get_price(call: RestCall) -> Any:
    """Retrieve a price."""
    given = arguments(call, {})
    return answer(call, fetch(call, "prices", call.params["id"]), given)


def update_price(call: RestCall) -> Any:
    """Change a price's ``active``, ``nickname``, ``lookup_key`` or ``metadata``; its amount never changes."""
    known = {name: _PRICE[name] for name in ("active", "nickname", "lookup_key", "metadata")}
    given = arguments(call, known, ("tax_behavior", "currency_options", "transfer_lookup_key"))
    old = fetch(call, "prices", call.params["id"])
    _free_lookup_key(call, given, old["id"])
    fields = {name: given[name] for name in ("active", "nickname", "lookup_key") if name in given}
    new = change(call, "prices", old, **fields, metadata=merged(old["metadata"], given))
    emit(call, "price.updated", new, before_change(old, new))
    return answer(call, new, given)


def list_prices(call: RestCall) -> Any:
    """List prices, newest first, also by ``product``, ``active``, ``currency``, ``type`` and ``lookup_keys``."""
    own = {"product": "text", "active": "flag", "currency": "currency", "type": "text", "lookup_keys": "list"}
    given = arguments(call, {**LISTING, **own}, ("recurring",))

    def is_wanted(doc: Doc) -> bool:
        same = all(given.get(name) in (None, doc[name]) for name in ("product", "active", "currency", "type"))
        return same and ("lookup_keys" not in given or doc["lookup_key"] in given["lookup_keys"])

    return listing(call, "prices", given, is_wanted)
