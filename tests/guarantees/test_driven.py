"""The tour by the published MCP client, with a witness: what every operation did was seen by a second one."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from stack_emu.surfaces.host_gateway import HostGateway
from tests import evidence
from tests.guarantees.conftest import Ground
from tests.guarantees.looks import LOOKS
from tests.guarantees.mcp_client import PublishedMcpClient
from tests.guarantees.step import Step, fixed
from tests.guarantees.tour import OPERATOR, STEPS, Tour, registry
from tests.guarantees.tours.notifications import TYPED
from tests.guarantees.tours.partners import TENANT_SECRET
from tests.guarantees.wire import Answer
from tests.witness import unproven, watching


@dataclass
class Walk:
    """The tour under way, and what a person, a provider or an upstream's client does beside it.

    Args:
        ground: the served world.
        client: who takes the tour.
        gateway: URL of the gateway, through which real host names lead to the fake services.
        sink: URL of a server that takes webhooks.
    """

    ground: Ground
    client: PublishedMcpClient
    gateway: str
    sink: str

    def __post_init__(self) -> None:
        self.tour = Tour(self.ground.world)
        self.http = self.ground.rest.http

    def call(self, step: Step, raw: dict[str, Any]) -> Answer:
        declared = registry().operations[step.operation]
        if declared.tool is None or step.rest_only:
            return self.ground.rest.call(declared, raw, OPERATOR)
        return self.client.call(declared, raw, OPERATOR)

    def take(self, step: Step) -> None:
        self.tour.take(step, self.call)
        for number, look in enumerate(LOOKS.get(step.name, ())):
            self.tour.take(replace(look, keep=f"{step.name}, look {number}"), self.call)
        if step.name in BESIDE:
            BESIDE[step.name](self, self.tour.replies[step.name])

    # --- what others do ---------------------------------------------------------------------------------------------

    def read_mail(self, reply: Any = None) -> list[dict[str, Any]]:
        return self.http.get("/_emu/outbox").json()["messages"]

    def pay(self, reply: dict[str, Any]) -> None:
        assert self.http.get(reply["checkout_url"]).json()["status"] == "paid"
        self.did("billing.balance", {})
        self.did("billing.transactions", {})

    def call_service(self, url: str, credential: str) -> None:
        answer = httpx.get(url, headers={"Authorization": f"Bearer {credential}"}, proxy=self.gateway, trust_env=False)
        assert answer.status_code == 200, answer.text

    def call_as(self, bearer: str, method: str, path: str, **options: Any) -> httpx.Response:
        answer = self.http.request(method, path, headers={"Authorization": f"Bearer {bearer}"}, **options)
        assert answer.status_code != 401, answer.text
        return answer

    def deliver(self, webhook: dict[str, Any], secret: str) -> None:
        """Send what a provider sends, signed as the webhook wants it."""
        body = b'{"event": "ping"}'
        config = webhook["generic_config"]
        assert config["timestamp_header"] is None, config
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        answer = self.http.post(webhook["webhook_url"], content=body, headers={config["signature_header"]: signature})
        assert answer.status_code == 202, answer.text

    def receive_at(self, reply: Any = None) -> None:
        """Add a webhook that can be reached, change its secret, verify it with the code it is sent, and test it."""
        added = {"channel_type": "webhook", "destination": self.sink}
        about = {"destination_id": self.did("delivery_methods.add", added)["id"]}
        self.did("delivery_methods.rotate_secret", about)
        self.did("delivery_methods.send_verification_code", about)
        code = next(mail["code"] for mail in reversed(self.read_mail()) if mail["destination"] == self.sink)
        self.did("delivery_methods.verify", {**about, "code": code})
        self.did("delivery_methods.test", about)

    def did(self, operation: str, raw: dict[str, Any]) -> Any:
        answer = self.call(Step(operation, fixed()), raw)
        assert answer.ok, f"{operation}: {answer.body}"
        return answer.body


BESIDE: dict[str, Callable[[Walk, Any], object]] = {
    "credentials.get": lambda walk, reply: walk.call_service("http://slack.com/api/auth.test", reply["credential"]),
    "by connection": lambda walk, reply: walk.call_service("http://crm.test/ping", reply["credentials"]["token"]),
    "billing.topup": Walk.pay,
    "intents.reject": lambda walk, reply: walk.did(
        "evidence_packs.export", {"scope": {"kind": "mission", "ref": "ms_tour"}}
    ),
    "agents.delete": lambda walk, reply: walk.pay(walk.tour.replies["billing.subscribe"]),  # a lower tier: at the end
    "delivery_methods.list": Walk.receive_at,
    "delivery_methods.send_verification_code": Walk.read_mail,
    "delivery_methods.verify": Walk.read_mail,
    "delivery_methods.test": Walk.read_mail,
    "notifications.send_verification_code": Walk.read_mail,
    "notifications.verify": Walk.read_mail,
    "notifications.test": Walk.read_mail,
    "inbound_webhooks.set_provider_signing_secret": lambda walk, reply: walk.deliver(
        walk.tour.replies["inbound"], TYPED[0]
    ),
    "partner_tenants.set_inbound_webhook_signing_secret": lambda walk, reply: walk.deliver(
        walk.tour.replies["tenant webhook"], TENANT_SECRET
    ),
    "rotated token": lambda walk, reply: walk.call_as(reply["grant_token"], "GET", "/v1/missions"),
    "fleet session": lambda walk, reply: walk.call_as(
        reply["session_token"],
        "POST",
        f"/v1/fleets/{walk.tour.replies['fleet']['id']}/workload/enrollment-challenges",
        json={},
    ),
}


def steps() -> Iterator[Step]:
    """The tour's steps, with another connection's credential."""
    for step in STEPS:
        if step.name == "credentials.get_by_connection":
            yield replace(step, raw=fixed(connection_id="scon_crm"), keep="by connection")
        else:
            yield step


@pytest.fixture
def gateway(ground: Ground) -> Iterator[str]:
    served = ground.served
    opened = HostGateway(served.server)
    asyncio.run_coroutine_threadsafe(opened.start(), served.loop).result(10)
    yield opened.url()
    asyncio.run_coroutine_threadsafe(opened.stop(), served.loop).result(10)


def test_what_every_tool_does_is_seen_by_another(
    ground: Ground, gateway: str, httpserver: Any, request: pytest.FixtureRequest
) -> None:
    httpserver.expect_request("/hook").respond_with_data(status=204)
    with (
        PublishedMcpClient(ground.served.base_url) as client,
        watching(ground.world, lambda entry: "mcp" if entry.surface == "mcp" else None) as witness,
    ):
        walk = Walk(ground, client, gateway, httpserver.url_for("/hook"))
        for step in steps():
            walk.take(step)
        walk.did("services.disconnect", {"connection_id": "scon_slack"})
        assert walk.did("services.list_intents", {}) == []
    assert witness.called_by("mcp") == {declared.name for declared in registry() if declared.tool is not None}
    assert unproven(witness, "mcp") == []
    evidence.hold("mcp", witness.proofs("mcp"), request.config)
