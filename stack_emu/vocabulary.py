"""The names a scenario may use that exist outside of it: operations, tools, packs and error codes of this version."""

from __future__ import annotations

from stack_emu.kernel.operations import Registry
from stack_emu.scenario.findings import DocumentReport, Vocabulary

MODEL_OPERATIONS = (
    "messages.create",
    "messages.count_tokens",
    "messages.batches.create",
    "messages.batches.list",
    "messages.batches.get",
    "messages.batches.cancel",
    "messages.batches.delete",
    "messages.batches.results",
    "messages.batches.process",
    "models.list",
    "models.get",
    "chat.completions.create",
    "responses.create",
    "responses.retrieve",
    "responses.delete",
    "responses.input_items.list",
    "traces.ingest",
)
"""What faults can hit at the model, on the Messages API, the OpenAI API and behind the LLM gateway: no operations of STACK's."""

WEBHOOK_OPERATION = "webhook.deliver"
"""What faults can hit at a webhook on its way out: one attempt of a delivery."""

APPROVED_OPERATIONS = (
    "agents.unblock",
    "fleets.revise",
    "reviews.decide",
    "detector_config.upsert",
    "detector_config.reset",
    "pii_config.update",
    "pii_config.reset",
    "intents.submit",
    "proxy.request",
    "skills.invoke",
    "llm.create",
    "partner_connect.connect",
)
"""Operations that wait for a human's approval, see ``domain.governance.gate``."""

UNSERVED_SECTIONS: dict[str, str] = {}
"""Sections of the format that this version reads and does not act on, each with what that means."""


def _document(path: str) -> DocumentReport:
    from stack_emu.upstreams.openapi.compiled import report_of

    return report_of(path)


def vocabulary(registry: Registry | None = None) -> Vocabulary:
    """Everything a scenario's words are checked against.

    Args:
        registry: the operations served; those of every family when left out.
    """
    from stack_emu.domain.families import registry as every_family
    from stack_emu.domain.faults import by_code
    from stack_emu.kernel.matching import pattern_problems
    from stack_emu.surfaces.messages_errors import STATUS_OF_TYPE
    from stack_emu.surfaces.openai_errors import STATUS_OF_CODE
    from stack_emu.upstreams.packs import PackNames, pack_problem

    served = registry if registry is not None else every_family()
    return Vocabulary(
        operations=frozenset(served.operations),
        faulted=frozenset({*served.operations, *MODEL_OPERATIONS, WEBHOOK_OPERATION}),
        approved=frozenset(APPROVED_OPERATIONS),
        tools=frozenset(served.tools),
        packs=PackNames(),
        pattern_problems=pattern_problems,
        pack_problem=pack_problem,
        document=_document,
        codes=frozenset({*by_code(), *STATUS_OF_TYPE, *STATUS_OF_CODE}),
        unserved=UNSERVED_SECTIONS,
    )
