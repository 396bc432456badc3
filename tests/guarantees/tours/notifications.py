"""Destinations, channels and inbound webhooks. One channel stays, so that what happens later on the tour is told."""

from __future__ import annotations

from tests.guarantees.step import Step, fixed, of

OWN = "owner@tour.test"
TYPED = ("typed-provider-secret-0003", "typed-downstream-secret-0004")

STEPS = (
    Step("delivery_methods.add", fixed(channel_type="email", destination=OWN), "own address"),
    Step("delivery_methods.add", fixed(channel_type="webhook", destination="https://hooks.tour.test/x"), "hook"),
    Step("delivery_methods.rotate_secret", of("hook", destination_id="id"), "rotated"),
    Step("delivery_methods.send_verification_code", of("hook", destination_id="id")),
    Step("delivery_methods.verify", of("hook", destination_id="id")),  # without a code: one is sent
    Step("delivery_methods.test", of("own address", destination_id="id")),
    Step("delivery_methods.list", fixed()),
    Step("notifications.create", fixed(channel_type="email", destination=OWN, min_severity="info"), "channel"),
    Step("notifications.create", fixed(channel_type="sms", destination="+4915112345678"), "text messages"),
    Step("notifications.update", of("channel", channel_id="id"), "unchanged channel"),
    Step("notifications.send_verification_code", of("text messages", channel_id="id")),
    Step("notifications.verify", of("text messages", channel_id="id")),
    Step("notifications.test", of("channel", channel_id="id")),
    Step("notifications.list", fixed()),
    Step("notifications.delete", of("text messages", channel_id="id")),
    Step("delivery_methods.delete", of("hook", destination_id="id")),
    Step("inbound_webhooks.create", fixed(provider="generic", agent_id="agt_tour"), "inbound"),
    Step("inbound_webhooks.get", of("inbound", webhook_id="id")),
    Step("inbound_webhooks.list", fixed()),
    Step(
        "inbound_webhooks.set_provider_signing_secret",
        lambda replies: {
            "webhook_id": replies["inbound"]["id"],
            "signing_secret": TYPED[0],
            "downstream_signing_secret": TYPED[1],
        },
    ),
    Step("inbound_webhooks.revoke", of("inbound", webhook_id="id")),
)
