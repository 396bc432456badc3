"""Running the steps of a sealed or source skill: questions to the scripted model, and templates.

``$INPUT`` stands for the invocation's input and ``$PREV`` for the output of the step before; a path such as ``$INPUT.text``
leads into them (docs/guides/sealed-skill). A text that is nothing but a variable becomes its value; inside other text,
objects and lists appear as JSON. The answer of a model that is JSON counts as that JSON.

Tokens are estimated as the Messages API of this emulator estimates them, and durations are computed from them: nothing here
is measured, so that the same call has the same reply every time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stack_emu.domain.json_schemas import mismatches
from stack_emu.domain.skill_records import Skill
from stack_emu.domain.skill_terms import VARIABLE
from stack_emu.kernel import strict_json
from stack_emu.kernel.world import World

ASK_MODEL = "ask_model"
"""Name of the world's setting that holds an ``AskModel``."""
DEFAULT_MODEL = "stack/default"
CHARACTERS_PER_TOKEN = 4
STEP_MS, TOKEN_MS = 50, 10


@dataclass(frozen=True)
class ModelQuestion:
    """What a model is asked, and where: ``where`` names the step for the journal."""

    where: str
    model: str
    system: str
    user: str


class ModelDeclined(Exception):
    """The scripted model has no answer; the message says why and what to add to the scenario."""


AskModel = Callable[[ModelQuestion], str]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``output``, or ``error`` with its code and message."""

    output: Any = None
    error: Mapping[str, Any] | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    duration_ms: int = 0


class _StepFailed(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


class _Run:
    """One run of a skill's steps."""

    def __init__(self, world: World, skill: Skill, given: Mapping[str, Any]) -> None:
        self.world, self.skill = world, skill
        self.values: dict[str, Any] = {"INPUT": given}
        self.tokens_in = self.tokens_out = self.duration_ms = 0

    def step(self, number: int, step: Mapping[str, Any]) -> Any:
        self.duration_ms += STEP_MS
        where = f"step {number}"
        if step["type"] == "template":
            return self.fill(step["template"], where)
        answer = self.ask(number, step)
        try:
            return strict_json.loads(answer)
        except ValueError:
            return answer

    def ask(self, number: int, step: Mapping[str, Any]) -> str:
        config = step.get("llm_config", {})
        system = step.get("system_prompt", config.get("system_prompt", ""))
        user = step.get("user_message", "$PREV" if number else "$INPUT")
        question = ModelQuestion(
            where=f"{self.skill.id} step {number}",
            model=_model_of(step),
            system=_text(self.fill(system, f"step {number}")),
            user=_text(self.fill(user, f"step {number}")),
        )
        ask: AskModel | None = self.world.settings.get(ASK_MODEL)
        if ask is None:
            raise _StepFailed("MODEL_UNAVAILABLE", f"step {number}: this world has no scripted model")
        try:
            answer = ask(question)
        except ModelDeclined:
            # Why it declined shows the publisher's prompt, which is not for the buyer; the journal has it.
            hint = "the journal says why and which rule under model: would answer"
            raise _StepFailed("MODEL_UNAVAILABLE", f"step {number}: the scripted model has no answer; {hint}") from None
        spent = _tokens(answer)
        self.tokens_in += _tokens(question.system) + _tokens(question.user)
        self.tokens_out += spent
        self.duration_ms += TOKEN_MS * spent
        return answer

    def fill(self, value: Any, where: str) -> Any:
        """A value with its variables replaced."""
        if isinstance(value, str):
            whole = VARIABLE.fullmatch(value)
            if whole is not None:
                return self.value(whole, where)
            return VARIABLE.sub(lambda match: _text(self.value(match, where)), value)
        if isinstance(value, Mapping):
            return {name: self.fill(part, where) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.fill(part, where) for part in value]
        return value

    def value(self, match: re.Match[str], where: str) -> Any:
        found: Any = self.values[match[1]]
        for name in match[2].split(".")[1:]:
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, (list, tuple)) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise _StepFailed("STEP_FAILED", f"{where}: {match[0]} leads nowhere; there is no {name} in it")
        return found


def run_steps(world: World, skill: Skill, given: Mapping[str, Any]) -> Outcome:
    """Run a skill's steps on an input that fits its schema."""
    run = _Run(world, skill, given)
    try:
        for number, step in enumerate(skill.execution_steps):
            run.values["PREV"] = run.step(number, step)
        output = run.values["PREV"]
        wrong = mismatches(skill.output_schema, output)
        if wrong:
            problems = "; ".join(f"{path}: {problem}" for path, problem in wrong.items())
            raise _StepFailed("SCHEMA_VALIDATION_FAILED", f"The output does not match the output_schema: {problems}")
    except _StepFailed as failed:
        return Outcome(None, failed.error, run.tokens_in, run.tokens_out, run.duration_ms)
    return Outcome(output, None, run.tokens_in, run.tokens_out, run.duration_ms)


def _model_of(step: Mapping[str, Any]) -> str:
    """The model a step names: ``model``, or provider and model of the older form."""
    named = step.get("model") or step.get("llm_model") or DEFAULT_MODEL
    provider = step.get("llm_provider")
    return f"{provider}/{named}" if provider and "/" not in named else str(named)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
