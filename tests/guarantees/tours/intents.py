"""Intents of the tour's passport. Rejecting one revokes its passport, so that is done to a passport of its own."""

from __future__ import annotations

from tests.guarantees.step import Step, fixed, of

INTENT = {"service": "slack", "method": "POST", "url": "https://slack.com/api/chat.postMessage"}

STEPS = (
    Step(
        "intents.simulate",
        lambda replies: {"intent": INTENT, "persist": True, "passport_token": replies["pp_tour"]["token"]},
    ),
    Step(
        "intents.submit", lambda replies: {"intent": INTENT, "passport_token": replies["pp_tour"]["token"]}, "submitted"
    ),
    Step("intents.list_pending", fixed()),
    Step("intents.get", of("submitted", approval_id="approval_id")),
    Step("intents.approve", of("submitted", approval_id="approval_id")),
    Step(
        "passports.issue",
        fixed(agent_id="agt_tour", mission_ids=["ms_tour"], intent={"summary": "Overreach", "services": ["slack"]}),
        "overreaching",
    ),
    Step(
        "intents.submit",
        lambda replies: {"intent": INTENT, "passport_token": replies["overreaching"]["token"]},
        "overreach",
    ),
    Step("intents.reject", of("overreach", approval_id="approval_id")),
)
