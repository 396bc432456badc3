"""What a scenario may start a Stripe account with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_emu.kernel.world import World
from stack_emu.upstreams.documents import Collection
from stack_emu.upstreams.rest_pack import check_keys
from stack_emu.upstreams.stripe.arguments import CURRENCIES

SEED_KEYS = {
    "customers": "each {id, email, name, description, phone, metadata}",
    "products": "each {id, name, active, description, metadata, prices}; a price is {id, unit_amount, currency, nickname, "
    "lookup_key, interval, active, metadata}",
    "balance": "currency to amount in its smallest unit, available from the start",
}
_CUSTOMER = ("id", "email", "name", "description", "phone", "metadata")
_PRODUCT = ("id", "name", "active", "description", "metadata", "prices")
_PRICE = ("id", "unit_amount", "currency", "nickname", "lookup_key", "interval", "active", "metadata")
_INTERVALS = ("day", "week", "month", "year")


def check_seed(seed: Mapping[str, Any]) -> None:
    """Refuse a seed that cannot work.

    Raises:
        ValueError: one sentence that begins with the place.
    """
    check_keys("seed", seed, list(SEED_KEYS))
    taken: dict[str, str] = {}
    for place, customer in _each("seed.customers", seed.get("customers", [])):
        check_keys(place, customer, _CUSTOMER)
        _texts(place, customer, ("email", "name", "description", "phone"))
        _check_id(place, customer, "cus_", taken)
    for place, product in _each("seed.products", seed.get("products", [])):
        check_keys(place, product, _PRODUCT)
        _texts(place, product, ("name", "description"))
        _check_id(place, product, "", taken)
        if "name" not in product:
            raise ValueError(f"{place} has no name; write name: Something.")
        for inner, price in _each(f"{place}.prices", product.get("prices", [])):
            _check_price(inner, price, taken)
    balance = seed.get("balance", {})
    check_keys("seed.balance", balance, sorted(CURRENCIES))
    for currency, amount in balance.items():
        _check_amount(f"seed.balance.{currency}", amount)


def _check_price(place: str, price: Any, taken: dict[str, str]) -> None:
    check_keys(place, price, _PRICE)
    _texts(place, price, ("nickname", "lookup_key"))
    _check_id(place, price, "price_", taken)
    _check_amount(f"{place}.unit_amount", price.get("unit_amount"))
    if price.get("currency", "usd") not in CURRENCIES:
        raise ValueError(f"{place}.currency is {price['currency']!r}; write one of {', '.join(sorted(CURRENCIES))}.")
    if price.get("interval") not in (None, *_INTERVALS):
        raise ValueError(f"{place}.interval is {price['interval']!r}; write one of {', '.join(_INTERVALS)}.")


def _check_amount(place: str, amount: Any) -> None:
    if not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
        raise ValueError(f"{place} is {amount!r}; write an amount in the currency's smallest unit, such as 1999.")


def _each(place: str, items: Any) -> list[tuple[str, Any]]:
    if not isinstance(items, list):
        raise ValueError(f"{place} is not a list.")
    return [(f"{place}[{number}]", item) for number, item in enumerate(items)]


def _texts(place: str, item: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(item.get(name, ""), str):
            raise ValueError(f"{place}.{name} is {item[name]!r}; write a text.")
    metadata = item.get("metadata", {})
    if not isinstance(metadata, Mapping) or not all(isinstance(one, str) for one in [*metadata, *metadata.values()]):
        raise ValueError(f"{place}.metadata is no mapping of texts to texts; put numbers in quotes.")
    if not isinstance(item.get("active", True), bool):
        raise ValueError(f"{place}.active is {item['active']!r}; write true or false.")


def _check_id(place: str, item: Mapping[str, Any], prefix: str, taken: dict[str, str]) -> None:
    key = item.get("id")
    if not isinstance(key, str) or not key.startswith(prefix) or key == prefix:
        raise ValueError(f"{place}.id is {key!r}; write a text such as {prefix or 'prod_'}ada.")
    if key in taken:
        raise ValueError(f"{place}.id is {key!r}, which {taken[key]} has already.")
    taken[key] = place


def write_seed(world: World, name: str, seed: Mapping[str, Any]) -> None:
    """Write the account that the upstream ``name`` begins with. Earlier entries count as made earlier."""
    second = world.clock.now_ms() // 1000
    customers = Collection(world.store, name, "customers")
    products, prices = Collection(world.store, name, "products"), Collection(world.store, name, "prices")
    total = len(seed.get("customers", [])) + len(seed.get("products", []))

    def head(number: int, kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
        created = second - total + number
        fixed = {"id": item["id"], "object": kind, "created": created, "livemode": False, "_ms": created * 1000}
        return {**fixed, "metadata": dict(item.get("metadata", {}))}

    for number, one in enumerate(seed.get("customers", [])):
        blank = dict.fromkeys(
            (
                "address",
                "currency",
                "default_source",
                "description",
                "discount",
                "email",
                "name",
                "phone",
                "shipping",
                "test_clock",
            )
        )
        settings = {"custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None}
        more = {"balance": 0, "delinquent": False, "preferred_locales": [], "tax_exempt": "none"}
        customers.put(
            one["id"], {**blank, **more, **one, "invoice_settings": settings, **head(number, "customer", one)}
        )
    for number, one in enumerate(seed.get("products", []), len(seed.get("customers", []))):
        blank = dict.fromkeys(
            ("description", "package_dimensions", "shippable", "statement_descriptor", "tax_code", "unit_label", "url")
        )
        own = {key: value for key, value in one.items() if key != "prices"}
        first = one["prices"][0]["id"] if one.get("prices") else None
        more = {"active": True, "default_price": first, "images": [], "marketing_features": [], "type": "service"}
        made = head(number, "product", one)
        products.put(one["id"], {**blank, **more, **own, "updated": made["created"], **made})
        for price in one.get("prices", []):
            prices.put(price["id"], {**_price(price, one["id"]), **head(number, "price", price)})
    for currency, amount in seed.get("balance", {}).items():
        Collection(world.store, name, "balance").put(currency, {"currency": currency, "amount": amount})


def _price(price: Mapping[str, Any], product: str) -> dict[str, Any]:
    interval = price.get("interval")
    usage = {"meter": None, "trial_period_days": None, "usage_type": "licensed"}
    return {
        "active": price.get("active", True),
        "billing_scheme": "per_unit",
        "currency": price.get("currency", "usd"),
        "custom_unit_amount": None,
        "lookup_key": price.get("lookup_key"),
        "nickname": price.get("nickname"),
        "product": product,
        "recurring": {"interval": interval, "interval_count": 1, **usage} if interval else None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if interval else "one_time",
        "unit_amount": price["unit_amount"],
        "unit_amount_decimal": str(price["unit_amount"]),
    }
