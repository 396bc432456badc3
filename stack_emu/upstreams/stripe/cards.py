"""Stripe's test cards: what a payment with each of them comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TestCard:
    """A test card.

    Args:
        brand: network, such as ``visa``.
        last4: the last four digits.
        code: error code of a payment with it; None when it succeeds.
        decline_code: why the issuer declines.
        attaches: whether it can be saved to a customer.
        authenticates: whether the customer must authenticate.
        funding: ``credit`` or ``debit``.
    """

    __test__ = False

    brand: str
    last4: str
    code: str | None = None
    decline_code: str | None = None
    attaches: bool = True
    authenticates: bool = False
    funding: str = "credit"

    @property
    def message(self) -> str:
        """What the customer may be told."""
        return f"The card was refused: {(self.decline_code or self.code or '').replace('_', ' ')}."


def _declines(last4: str, code: str, decline_code: str | None = None, attaches: bool = False) -> TestCard:
    return TestCard("visa", last4, code, decline_code, attaches)


BY_NUMBER: Mapping[str, TestCard] = {
    "4242424242424242": TestCard("visa", "4242"),
    "4000056655665556": TestCard("visa", "5556", funding="debit"),
    "5555555555554444": TestCard("mastercard", "4444"),
    "378282246310005": TestCard("amex", "0005"),
    "6011111111111117": TestCard("discover", "1117"),
    "4000000000000002": _declines("0002", "card_declined", "generic_decline"),
    "4000000000009995": _declines("9995", "card_declined", "insufficient_funds"),
    "4000000000009987": _declines("9987", "card_declined", "lost_card"),
    "4000000000009979": _declines("9979", "card_declined", "stolen_card"),
    "4000000000000069": _declines("0069", "expired_card", "expired_card"),
    "4000000000000127": _declines("0127", "incorrect_cvc", "incorrect_cvc"),
    "4000000000000119": _declines("0119", "processing_error", "processing_error"),
    "4000000000000341": _declines("0341", "card_declined", "generic_decline", attaches=True),
    "4000002500003155": TestCard("visa", "3155", authenticates=True),
    "4000002760003184": TestCard("visa", "3184", authenticates=True),
    "4000000000003220": TestCard("visa", "3220", authenticates=True),
}
"""Numbers to cards, from docs.stripe.com/testing."""

BY_NAME: Mapping[str, str] = {
    "visa": "4242424242424242",
    "visa_debit": "4000056655665556",
    "mastercard": "5555555555554444",
    "amex": "378282246310005",
    "discover": "6011111111111117",
    "chargeDeclined": "4000000000000002",
    "visa_chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedLostCard": "4000000000009987",
    "visa_chargeDeclinedStolenCard": "4000000000009979",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
    "chargeCustomerFail": "4000000000000341",
    "authenticationRequiredOnSetup": "4000002500003155",
    "authenticationRequired": "4000002760003184",
    "threeDSecure2Required": "4000000000003220",
}
"""Names after ``pm_card_`` to numbers, from docs.stripe.com/testing; ``tok_`` is followed by the same."""


def named(payment_method: str) -> str | None:
    """The number behind a name such as ``pm_card_visa``; None when it is no such name."""
    return BY_NAME.get(payment_method.removeprefix("pm_card_")) if payment_method.startswith("pm_card_") else None
