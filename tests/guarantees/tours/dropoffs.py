"""Drop-offs from the tour's agent to the helper and back."""

from __future__ import annotations

from tests.guarantees.step import Step, fixed, of

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}

STEPS = (
    Step("dropoffs.create", fixed(from_agent="agt_tour", to_agent="agt_tour", schema=SCHEMA), "drop-off"),
    Step("dropoffs.deposit", lambda replies: {"dropoff_id": replies["drop-off"]["id"], "payload": {"n": 4711}}, "left"),
    Step("dropoffs.get", of("drop-off", dropoff_id="id")),
    Step("dropoffs.list", fixed()),
    Step("dropoffs.collect", of("drop-off", dropoff_id="id")),
    Step("dropoffs.create", fixed(from_agent="agt_tour", to_agent="agt_tour", schema=SCHEMA, ttl_seconds=60), "doomed"),
    Step("dropoffs.expire", of("doomed", dropoff_id="id")),
)
