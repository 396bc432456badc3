"""Skills: one published, browsed, invoked and served, and the board of requests."""

from __future__ import annotations

from typing import Any

from tests.guarantees.step import Input, Replies, Step, fixed, of

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def invoke(text: str, **more: Any) -> Input:
    def raw(replies: Replies) -> dict[str, Any]:
        given = {"agent_id": "agt_tour", "input": {"text": text}, **more}
        return {"skill_id": replies["skill"]["id"], **given}

    return raw


STEPS: tuple[Step, ...] = (
    Step(
        "skills.publish",
        fixed(
            name="tour-translation",
            description="Translate the text of a tour",
            version="1.0.0",
            input_schema=TEXT,
            output_schema=TEXT,
            tags=["tour"],
            agent_id="agt_tour",
        ),
        "skill",
    ),
    Step("skills.browse", fixed(query="translate")),
    Step("skills.list_owned", fixed()),
    Step("skills.get", of("skill", skill_id="id")),
    Step("skills.update", lambda replies: {"skill_id": replies["skill"]["id"], "version": "1.0.1"}),
    Step("skills.suspend", of("skill", skill_id="id")),
    Step("skills.activate", of("skill", skill_id="id")),
    Step("skills.check_trust", of("skill", skill_id="id")),
    Step("skills.invoke", invoke("one"), "invoked"),
    Step("skills.invoke", invoke("two", idempotency_key="tour-skill-0001"), "invoked again"),
    Step("skills.list_pending_invocations", of("skill", skill_id="id")),
    Step("skills.claim_invocation", of("invoked", invocation_id="id")),
    Step(
        "skills.complete_invocation",
        lambda replies: {"invocation_id": replies["invoked"]["id"], "output": {"text": "eins"}},
    ),
    Step(
        "skills.fail_invocation",
        lambda replies: {
            "invocation_id": replies["invoked again"]["id"],
            "error": {"code": "BUSY", "message": "Not on a tour"},
        },
    ),
    Step("skills.get_invocation", of("invoked", invocation_id="id")),
    Step("skills.list_invocations", fixed()),
    Step(
        "skills.post_request", fixed(description="Translate a tour", tags=["tour"], desired_input_schema=TEXT), "wish"
    ),
    Step("skills.list_requests", fixed()),
    Step("skills.get_request", of("wish", request_id="id")),
    Step("skills.get_request_matches", of("wish", request_id="id")),
    Step("skills.suggest_composition", of("wish", request_id="id")),
)
