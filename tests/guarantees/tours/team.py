"""The team: a member invited, accepted, changed and revoked."""

from __future__ import annotations

from tests.guarantees.step import Step, fixed, of

STEPS = (
    Step("team.invite", fixed(email="new@tour.test", name="New", role="readonly"), "member"),
    Step("team.accept", of("member", member_id="id"), "accepted"),
    Step("team.list", fixed()),
    Step("team.update", lambda replies: {"member_id": replies["member"]["id"], "role": "standard"}),
    Step("team.revoke", of("member", member_id="id")),
)
