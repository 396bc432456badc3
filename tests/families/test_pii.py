"""Personal data: what is recognised, what the settings change, and who may loosen them."""

from __future__ import annotations

from typing import Any

import getstack
import httpx
import pytest

from stack_emu.domain import governance, pii, pii_kinds
from tests.families.drivers import McpTools
from tests.families.passport_world import MEMBER, OPERATOR, OTHER, READER, WORLD, bearer, error, issue, row

PERSONAL = [
    ("write to jane.doe+x@mail.example.co.uk today", "email", "jane.doe+x@mail.example.co.uk"),
    ("jörg.m@example.se", "email", "jörg.m@example.se"),
    ("card 4111 1111 1111 1111.", "credit_card", "4111 1111 1111 1111"),
    ("378282246310005", "credit_card", "378282246310005"),
    ("pay DE89 3704 0044 0532 0130 00 now", "iban", "DE89 3704 0044 0532 0130 00"),
    ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
    ("from 192.168.1.10:8080", "ip_address", "192.168.1.10"),
    ("host 2001:db8:0:1::2", "ip_address", "2001:db8:0:1::2"),
    ("call +46 70 123 45 67", "phone", "+46 70 123 45 67"),
    ("call (415) 555-0100", "phone", "(415) 555-0100"),
    ("SSN 123-45-6789", "us_ssn", "123-45-6789"),
    ("ssn: 123456789", "us_ssn", "123456789"),
    ("19811228-9874", "se_personnummer", "19811228-9874"),
    ("personnummer 8112289874", "se_personnummer", "8112289874"),
    ("131052-308T", "fi_henkilotunnus", "131052-308T"),
    ("070761-4285", "dk_cpr", "070761-4285"),
    ("fnr 01010050053", "no_fodselsnummer", "01010050053"),
    ("AB 12 34 56 C", "gb_nino", "AB 12 34 56 C"),
    ("2 55 08 14 168 025 38", "fr_nir", "2 55 08 14 168 025 38"),
    ("12345678Z", "es_dni", "12345678Z"),
    ("RSSMRA85T10A562S", "it_codice_fiscale", "RSSMRA85T10A562S"),
    ("86 095 742 719", "de_steuer_id", "86 095 742 719"),
    ("BSN 111222333", "nl_bsn", "111222333"),
    ("PESEL 44051401359", "pl_pesel", "44051401359"),
]
HARMLESS = [
    "4111111111111112",
    "DE88370400440532013000",
    "999.1.1.1",
    "v1.2.3.4",
    "12:30:45",
    "666-45-6789",
    "19811228-9875",
    "811350-9874",
    "131052-308U",
    "01010050054",
    "2 55 08 14 168 025 39",
    "12345678A",
    "RSSMRA85T10A562T",
    "order 8112289874",
    "1767225600000.000100",
    "550e8400-e29b-41d4-a716-446655440000",
    "C0123456789 ms_logged 2026-01-01T00:00:00.000Z",
]


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


def redacted(served: Any, text: str, operator_id: str = "op_emu") -> str:
    return served.call(lambda: pii.redact(served.world, operator_id, text)[0])


def approved(served: Any, refusal: getstack.ForbiddenError) -> str:
    assert refusal.code == "GOVERNANCE_APPROVAL_REQUIRED"
    approval: str = refusal.details["approval_id"]
    served.call(lambda: governance.decide(served.world, approval, True))
    return approval


def test_every_kind_is_among_those_recognised_here() -> None:
    assert {kind for _, kind, _ in PERSONAL} == set(pii_kinds.KINDS)


@pytest.mark.parametrize(("text", "kind", "part"), PERSONAL, ids=[f"{kind} {part}" for _, kind, part in PERSONAL])
def test_personal_data_is_recognised(text: str, kind: str, part: str) -> None:
    country = next(scheme.country for scheme in pii_kinds.SCHEMES if scheme.kind == kind and _fits(scheme, part))
    found = pii_kinds.find(text, 0.4, frozenset({country} if country else ()))
    assert [(text[one.start : one.end], one.kind) for one in found] == [(part, kind)]


def _fits(scheme: pii_kinds.Scheme, part: str) -> bool:
    import re

    return re.fullmatch(scheme.pattern, part, re.ASCII) is not None


@pytest.mark.parametrize("text", HARMLESS)
def test_what_fails_its_check_is_left(text: str) -> None:
    assert pii_kinds.find(text, 0.4, None) == []


def test_long_texts_take_no_long_time() -> None:
    for text in ("a.b@" * 50_000, "1 " * 100_000, "x@a.se " * 20_000, "+1 (" * 40_000, "DE89 " * 40_000, ":" * 100_000):
        pii_kinds.find(text, 0.1, None)


def test_json_is_walked_and_counted(served: Any) -> None:
    value = {
        "to": ["a@b.se", {"cc": "c@d.se and 4111111111111111"}],
        "n": 4111111111111111,
        "data": "e@f.se",
        "x": None,
    }
    seen, counts = served.call(lambda: pii.redact_json(served.world, "op_emu", value, skip=frozenset({"data"})))
    assert seen["to"] == ["[REDACTED_EMAIL]", {"cc": "[REDACTED_EMAIL] and [REDACTED_CREDIT_CARD]"}]
    assert (seen["n"], seen["data"], seen["x"]) == (4111111111111111, "e@f.se", None)
    assert counts == {"credit_card": 1, "email": 2}
    assert value["to"][0] == "a@b.se"


def test_an_account_without_settings_has_the_defaults(stack: Any) -> None:
    found = stack.pii_config.get()
    assert found == {"configured": False, "enabled": True, "threshold": 0.4, "countries": None, "updated_at": None}


def test_a_lower_threshold_redacts_more_at_once(stack: Any, served: Any) -> None:
    assert redacted(served, "order 8112289874") == "order 8112289874"
    assert stack.pii_config.update(threshold=0.25)["configured"] is True
    assert redacted(served, "order 8112289874") == "order [REDACTED_SE_PERSONNUMMER]"
    assert redacted(served, "order 8112289874", "op_other") == "order 8112289874"
    found = row(served, "pii_config.update")
    assert (found.outcome, found.metadata["changed"]) == ("success", ["threshold"])


def test_redacting_less_waits_for_a_human_and_for_these_values(stack: Any, served: Any) -> None:
    for loosening in ({"enabled": False}, {"threshold": 0.9}, {"countries": ["SE"]}):
        with pytest.raises(getstack.ForbiddenError) as refused:
            stack.pii_config.update(**loosening)
        assert refused.value.code == "GOVERNANCE_APPROVAL_REQUIRED"
        assert stack.pii_config.get()["configured"] is False
    approval = approved(served, refused.value)
    with pytest.raises(getstack.ForbiddenError) as other:
        stack.pii_config.update(countries=["NO"], governance_approval_id=approval)
    assert other.value.code == "GOVERNANCE_APPROVAL_REQUIRED"
    assert stack.pii_config.update(countries=["se"], governance_approval_id=approval)["countries"] == ["SE"]
    assert redacted(served, "811228-9874, 123-45-6789 and a@b.se") == (
        "[REDACTED_SE_PERSONNUMMER], 123-45-6789 and [REDACTED_EMAIL]"
    )
    assert stack.pii_config.update(countries=["SE", "US"])["countries"] == ["SE", "US"]
    assert stack.pii_config.update(countries=None)["countries"] is None


def test_nothing_is_redacted_once_it_is_off(stack: Any, served: Any) -> None:
    with pytest.raises(getstack.ForbiddenError) as refused:
        stack.pii_config.update(enabled=False)
    stack.pii_config.update(enabled=False, governance_approval_id=approved(served, refused.value))
    assert redacted(served, "a@b.se") == "a@b.se"
    assert stack.pii_config.update(enabled=True)["enabled"] is True
    assert redacted(served, "a@b.se") == "[REDACTED_EMAIL]"


def test_null_returns_a_dial_to_its_default(stack: Any) -> None:
    assert stack.pii_config.update(threshold=0.2)["threshold"] == 0.2
    with pytest.raises(getstack.ForbiddenError):
        stack.pii_config.update(threshold=None)
    assert stack.pii_config.update(enabled=True)["threshold"] == 0.2


def test_a_reset_always_waits(stack: Any, served: Any) -> None:
    stack.pii_config.update(threshold=0.2)
    with pytest.raises(getstack.ForbiddenError) as refused:
        stack.pii_config.reset()
    assert stack.pii_config.reset(governance_approval_id=approved(served, refused.value))["configured"] is False
    assert stack.pii_config.get()["threshold"] == 0.4


def test_who_may_and_what_is_refused(stack: Any, served: Any) -> None:
    url = f"{served.base_url}/v1/pii/config"

    def put(body: Any, key: str = OPERATOR) -> httpx.Response:
        return httpx.put(url, json=body, headers=bearer(key))

    assert error(put({"threshold": 2})) == (400, "INVALID_REQUEST")
    assert error(put({"countries": ["Sweden"]})) == (400, "INVALID_REQUEST")
    assert error(put({"threshold": 0.1}, MEMBER)) == (403, "FORBIDDEN")
    assert httpx.get(url, headers=bearer(READER)).json()["threshold"] == 0.4
    assert error(httpx.get(url, headers=bearer(issue(stack).token))) == (403, "FORBIDDEN")
    assert put({"threshold": 0.1}, OTHER).json()["threshold"] == 0.1
    assert stack.pii_config.get()["configured"] is False


def test_pii_settings_are_tools(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    assert tools("stack_update_pii_config", threshold=0.3)["threshold"] == 0.3
    assert tools("stack_get_pii_config")["configured"] is True
    refused, failed = tools.result("stack_reset_pii_config")
    assert failed
    assert refused["error"]["code"] == "GOVERNANCE_APPROVAL_REQUIRED"
