"""What personal data looks like: patterns with check digits, each match with the confidence that it is what it seems.

Email addresses, cards, IBANs, IP addresses and international phone numbers belong to no country and are always looked
for; the other schemes are a country's (sdk 4.0.0 pii_config). A number written without its separators could be an order
number, so its confidence is below the default threshold unless a word for it stands before it.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

Valid = Callable[[str], bool]
_NEAR = 40
"""How many characters before a match a word for it may stand."""


@dataclass(frozen=True)
class Scheme:
    """One way personal data is written.

    Args:
        kind: what it is, for example ``email``.
        pattern: regular expression.
        confidence: how likely a match that passes its check is one.
        country: ISO 3166-1 alpha-2 code, or None for what belongs to no country.
        valid: the check, or None.
        words: expression for words that, before a match, make it likely.
    """

    kind: str
    pattern: str
    confidence: float
    country: str | None = None
    valid: Valid | None = None
    words: str = ""


@dataclass(frozen=True)
class Found:
    """A match: where, what and how likely."""

    start: int
    end: int
    kind: str
    confidence: float


def _digits(text: str) -> list[int]:
    return [int(character) for character in text if character.isdecimal()]


def luhn(text: str) -> bool:
    """Whether the digits of a text pass the Luhn check."""
    numbers = _digits(text)[::-1]
    doubled = (sum(divmod(2 * number, 10)) for number in numbers[1::2])
    return (sum(numbers[::2]) + sum(doubled)) % 10 == 0


def _card(text: str) -> bool:
    numbers = _digits(text)
    return 13 <= len(numbers) <= 19 and numbers[0] in (2, 3, 4, 5, 6) and len(set(numbers)) > 1 and luhn(text)


_IBAN_LENGTHS = {"DE": 22, "SE": 24, "GB": 22, "FR": 27, "NO": 15, "FI": 18, "DK": 18, "NL": 18, "ES": 24, "IT": 27}
_IBAN_LENGTHS |= {"PL": 28, "BE": 16, "AT": 20, "CH": 21, "IE": 22, "PT": 25, "LU": 20, "EE": 20, "LV": 21, "LT": 20}


def _iban(text: str) -> bool:
    plain = re.sub(r"[ -]", "", text).upper()
    if not 15 <= len(plain) <= 34 or len(plain) != _IBAN_LENGTHS.get(plain[:2], len(plain)):
        return False
    return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1


def _ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _phone(text: str) -> bool:
    return 8 <= len(_digits(text)) <= 15


def _date(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 31


def _us_ssn(text: str) -> bool:
    area, group, serial = text[:3], "".join(map(str, _digits(text)))[3:5], text[-4:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def _se(text: str) -> bool:
    plain = "".join(map(str, _digits(text)))[-10:]
    day = int(plain[4:6])
    return _date(int(plain[2:4]), day - 60 if day > 60 else day) and luhn(plain)


def _no(text: str) -> bool:
    numbers = _digits(text)
    day = numbers[0] * 10 + numbers[1]
    sums = (sum(map(int.__mul__, numbers, weights)) % 11 for weights in ((3, 7, 6, 1, 8, 9, 4, 5, 2, 1), _NO_SECOND))
    return _date(numbers[2] * 10 + numbers[3], day - 40 if day > 40 else day) and not any(sums)


_NO_SECOND = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)


def _fi(text: str) -> bool:
    numbers = text[:6] + text[7:10]
    return _date(int(text[2:4]), int(text[:2])) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(numbers) % 31] == text[-1]


def _dk(text: str) -> bool:
    return _date(int(text[2:4]), int(text[:2]))


def _nl(text: str) -> bool:
    numbers = _digits(text)
    return any(numbers) and sum(map(int.__mul__, numbers, (9, 8, 7, 6, 5, 4, 3, 2, -1))) % 11 == 0


def _fr(text: str) -> bool:
    plain = text.replace(" ", "").upper().replace("2A", "19").replace("2B", "18")
    return int(plain[3:5]) <= 99 and 97 - int(plain[:13]) % 97 == int(plain[13:])


def _es(text: str) -> bool:
    number = text[:8].upper().replace("X", "0").replace("Y", "1").replace("Z", "2")
    return number.isdecimal() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1].upper()


def _it(text: str) -> bool:
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    values = [int(character, 36) - (10 if character.isalpha() else 0) for character in text[:15].upper()]
    total = sum(odd[value] if place % 2 == 0 else value for place, value in enumerate(values))
    return chr(65 + total % 26) == text[-1].upper()


def _de(text: str) -> bool:
    product, numbers = 10, _digits(text)
    for number in numbers[:10]:
        product = ((number + product - 1) % 10 + 1) * 2 % 11
    return numbers[0] != 0 and (11 - product) % 10 == numbers[10]


def _pl(text: str) -> bool:
    numbers = _digits(text)
    month = (numbers[2] * 10 + numbers[3]) % 20
    return _date(month, numbers[4] * 10 + numbers[5]) and (
        sum(map(int.__mul__, numbers, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1))) % 10 == 0
    )


_BARE = 0.3
"""Confidence of digits without separators: below the default threshold."""

SCHEMES: tuple[Scheme, ...] = (
    Scheme("email", r"(?<![\wÀ-ɏ.+-])[\wÀ-ɏ.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])", 0.95),
    Scheme("credit_card", r"(?<![\d.-])\d{4}(?:[ -]?\d{2,6}){2,4}(?![\d-])", 0.9, None, _card),
    Scheme("iban", r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])", 0.95, None, _iban),
    Scheme("ip_address", r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)", 0.6, None, _ip),
    Scheme("ip_address", r"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){3,7}(?![\w:])", 0.7, None, _ip),
    Scheme("phone", r"(?<![\w+])\+\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,6}(?!\w)", 0.75, None, _phone),
    Scheme("phone", r"(?<![\w(])\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4}(?![\w-])", 0.5, "US"),
    Scheme("phone", r"(?<![\w-])0\d{1,3}[ -]\d{2,3} ?\d{2} ?\d{2}(?![\w-])", 0.5, "SE"),
    Scheme("phone", r"(?<![\w-])0\d{2,4} \d{3,4} \d{3,4}(?![\w-])", 0.5, "GB"),
    Scheme("us_ssn", r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])", 0.85, "US", _us_ssn),
    Scheme("us_ssn", r"(?<![\w.-])\d{9}(?![\w-])", 0.15, "US", _us_ssn, r"ssn|social security"),
    Scheme("se_personnummer", r"(?<![\w-])(?:\d{2})?\d{6}[-+]\d{4}(?![\w-])", 0.85, "SE", _se),
    Scheme("se_personnummer", r"(?<![\w.-])(?:19|20)?\d{10}(?![\w-])", _BARE, "SE", _se, r"personn(?:umme)?r|pnr"),
    Scheme("no_fodselsnummer", r"(?<![\w-])\d{6} \d{5}(?![\w-])", 0.85, "NO", _no),
    Scheme("no_fodselsnummer", r"(?<![\w.-])\d{11}(?![\w-])", _BARE, "NO", _no, r"f[oø]dselsn(?:umme)?r|fnr"),
    Scheme("fi_henkilotunnus", r"(?<![\w-])\d{6}[-+ABCDEFYXWVU]\d{3}[0-9A-Y](?![\w-])", 0.9, "FI", _fi),
    Scheme("dk_cpr", r"(?<![\w-])\d{6}-\d{4}(?![\w-])", 0.55, "DK", _dk, r"cpr"),
    Scheme(
        "gb_nino",
        r"(?<!\w)(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)",
        0.85,
        "GB",
    ),
    Scheme("fr_nir", r"(?<!\w)[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}(?!\w)", 0.9, "FR", _fr),
    Scheme("es_dni", r"(?<![\w-])(?:\d{8}|[XYZ]\d{7})-?[A-Z](?!\w)", 0.85, "ES", _es),
    Scheme("it_codice_fiscale", r"(?<!\w)[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?!\w)", 0.95, "IT", _it),
    Scheme("de_steuer_id", r"(?<![\w-])\d{2} \d{3} \d{3} \d{3}(?![\w-])", 0.8, "DE", _de),
    Scheme("de_steuer_id", r"(?<![\w.-])\d{11}(?![\w-])", _BARE, "DE", _de, r"steuer|idnr|tax id"),
    Scheme("nl_bsn", r"(?<![\w.-])\d{9}(?![\w-])", 0.2, "NL", _nl, r"bsn|burgerservice"),
    Scheme("pl_pesel", r"(?<![\w.-])\d{11}(?![\w-])", _BARE, "PL", _pl, r"pesel"),
)
"""Every scheme there is; ``docs/fidelity.md`` lists them."""

KINDS = tuple(dict.fromkeys(scheme.kind for scheme in SCHEMES))
COUNTRIES = tuple(sorted({scheme.country for scheme in SCHEMES if scheme.country is not None}))
_WITH_A_WORD = 0.8


def find(text: str, threshold: float, countries: frozenset[str] | None) -> list[Found]:
    """What a text holds, first to last; of matches that overlap the likeliest, then the longest.

    Args:
        text: what to look through.
        threshold: least confidence.
        countries: whose schemes to look for besides those of no country; None for every country's.
    """
    matches = [
        found
        for scheme in SCHEMES
        if scheme.country is None or countries is None or scheme.country in countries
        for found in _matches(scheme, text)
        if found.confidence >= threshold
    ]
    matches.sort(key=lambda found: (-found.confidence, found.start - found.end, found.start))
    kept: list[Found] = []
    for found in matches:
        place = bisect_left(kept, found.start, key=lambda other: other.start)
        before, after = kept[place - 1 : place], kept[place : place + 1]
        if all(found.end <= other.start or found.start >= other.end for other in (*before, *after)):
            kept.insert(place, found)
    return kept


def _matches(scheme: Scheme, text: str) -> list[Found]:
    matches = []
    for match in _compiled(scheme.pattern).finditer(text):
        if scheme.valid is not None and not scheme.valid(match[0]):
            continue
        confidence = scheme.confidence
        if scheme.words and _compiled(rf"(?i)(?:{scheme.words})").search(
            text, max(0, match.start() - _NEAR), match.start()
        ):
            confidence = max(confidence, _WITH_A_WORD)
        matches.append(Found(match.start(), match.end(), scheme.kind, confidence))
    return matches


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)
