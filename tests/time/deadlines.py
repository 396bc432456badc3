"""Deadlines: how a thing with one is set up, what tells whether it is over, and which names of the source that covers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import anthropic
import getstack
import httpx

from stack_emu.client import EmulatorClient, WorldClient

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
START = "2026-03-01T00:00:00Z"
OPERATOR, OTHER, PUBLISHER = "sk_live_emu_time", "sk_live_emu_time_other", "sk_live_emu_time_publisher"
POST_MESSAGE, ECHO = "https://slack.com/api/chat.postMessage", "https://echo.test/ping"

WORLD = f"""
stack_emu: 1
name: deadlines
seed: 21
clock: {{mode: virtual, start: {START}, tick: 1ms}}
strict: false
operators:
  - id: op_time
    tier: enterprise
    partner: true
    email: owner@time.test
    keys: [{{key: {OPERATOR}}}]
  - {{id: op_other, email: other@time.test, keys: [{{key: {OTHER}}}]}}
  - {{id: op_publisher, keys: [{{key: {PUBLISHER}}}]}}
  - {{id: op_tenant, tenant_of: op_time, tier: partner}}
agents:
  - {{id: agt_bot, name: bot, accountability_mode: logged, credential_access: direct}}
  - {{id: agt_strict, name: strict, accountability_mode: enforced, credential_access: proxy_preferred}}
  - {{id: agt_helper, name: helper, accountability_mode: logged}}
  - {{id: agt_worker, name: worker, operator: op_publisher}}
  - {{id: agt_tenant, name: tenant, operator: op_tenant, accountability_mode: logged}}
  - {{id: agt_buyer, name: buyer, operator: op_other, accountability_mode: logged}}
services:
  - {{id: scon_slack, provider: slack, credential: canary, scopes: [chat:write, channels:read], upstream: slack,
      grants: [{{agent: agt_bot}}, {{agent: agt_strict}}]}}
  - {{id: scon_echo, provider: echo, credential: {{text: echo-secret-0001, expires: +3h}}, upstream: echo,
      grants: [{{agent: agt_bot}}]}}
  - {{id: scon_github, provider: github, credential: canary, upstream: github}}
  - {{id: scon_stripe, provider: stripe, credential: canary, upstream: stripe}}
missions:
  - {{id: ms_bot, agent: agt_bot, intent: Keep time, services: [slack, echo], expires: 20h}}
  - {{id: ms_strict, agent: agt_strict, intent: Keep time, services: [slack], expires: 20h}}
  - {{id: ms_tenant, agent: agt_tenant, intent: Keep time elsewhere, expires: 20h}}
passports: [{{id: pp_bot, agent: agt_bot, mission: ms_bot, ttl: 40m, env: BOT_PASSPORT}}]
skills: [{{id: skl_open, operator: op_publisher, name: wait, description: Takes its time, agent: worker}}]
fleets: [{{id: flp_time, operator: op_time, definition: {{name: Timers, access: [{{connection_id: scon_slack}}]}}}}]
identity: {{claims: [{{id: clm_seeded, operator: op_time, provider: bankid_se, claim: verified_human, expires: 10d}}]}}
upstreams:
  slack: {{hosts: [slack.com], pack: slack, seed: {{channels: [{{name: engineering}}]}}}}
  stripe: {{hosts: [api.stripe.com], pack: stripe}}
  github: {{hosts: [api.github.com], pack: github}}
  echo: {{hosts: [echo.test], routes: [{{when: {{path: /ping}}, reply: {{json: {{ok: true}}}}}}]}}
model: [{{turns: [{{say: Still here.}}]}}]
"""


@dataclass
class Bench:
    """A world with real clients on it.

    Args:
        world: under a virtual clock, fresh.
    """

    world: WorldClient
    closers: list[Callable[[], None]] = field(default_factory=list)

    def stack(self, key: str = OPERATOR, **options: Any) -> Any:
        return self.world.stack(api_key=key, **options)

    @cached_property
    def own(self) -> Any:
        """STACK's SDK with the account's key."""
        return self.stack()

    @cached_property
    def http(self) -> httpx.Client:
        client = httpx.Client(base_url=self.world.base_url, timeout=20, trust_env=False)
        self.closers.append(client.close)
        return client

    @cached_property
    def model(self) -> anthropic.Anthropic:
        return self.world.anthropic(max_retries=0)

    def call(self, method: str, path: str, body: Any = None, bearer: str = OPERATOR, **headers: str) -> httpx.Response:
        return self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {bearer}", **headers})

    def issue(self, agent: str = "agt_bot", mission: str = "ms_bot", **more: Any) -> Any:
        given = {"intent": "Keep time", "services": ["slack"], **more}
        return self.own.passports.issue(agent_id=agent, mission_ids=[mission], **given)

    def advance(self, milliseconds: int) -> Any:
        return self.world.clock.advance(milliseconds)

    def close(self) -> None:
        for close in self.closers:
            close()
        self.world.close_clients()


Probe = Callable[[], str]
Begin = Callable[[Bench], tuple[int, Probe]]


@dataclass(frozen=True)
class Deadline:
    """One deadline.

    Args:
        name: of the case.
        begin: sets the thing up; the milliseconds from then to the deadline, and a probe that says how it stands.
        good: what the probe says right before the deadline.
        over: what it says at the deadline.
        covers: names in the source that this is the case of, as ``room.module.Name`` or ``timer <kind>``.
        step: the last step before the deadline, in milliseconds; a second where the wire has only seconds.
        world: the scenario.
    """

    name: str
    begin: Begin
    good: str
    over: str
    covers: tuple[str, ...]
    step: int
    world: str


DEADLINES: dict[str, Deadline] = {}


def deadline(
    *covers: str, good: str = "ok", over: str, step: int = 1, world: str = WORLD, name: str = ""
) -> Callable[[Begin], Begin]:
    """Add a case to the table."""

    def add(begin: Begin) -> Begin:
        title = name or begin.__name__
        assert title not in DEADLINES, title
        DEADLINES[title] = Deadline(title, begin, good, over, covers, step, world)
        return begin

    return add


def said(call: Callable[[], Any]) -> str:
    """``ok``, or the code a call was refused with."""
    try:
        call()
    except getstack.StackError as error:
        return str(error.code)
    return "ok"


def answered(response: httpx.Response) -> str:
    """``ok``, or the code of an answer; in the words of OAuth or of STACK's envelope."""
    if response.is_success or response.is_redirect:
        return "ok"
    error: Any = response.json()["error"]
    return str(error if isinstance(error, str) else error["code"])


def plus(text: str, *replacements: tuple[str, str], **sections: Any) -> str:
    """A scenario with replacements made and sections added (JSON is YAML)."""
    import json

    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    return text + "".join(f"{name}: {json.dumps(value)}\n" for name, value in sections.items())


def tried(world: WorldClient, number: int) -> Mapping[str, Any]:
    """A delivery to a webhook by its place."""
    return world.deliveries[number]


class Worlds:
    """The worlds of the cases on one emulator, made once for each scenario and reset in between.

    Args:
        client: of the emulator.
    """

    def __init__(self, client: EmulatorClient) -> None:
        self.client = client
        self.made: dict[str, WorldClient] = {}

    def fresh(self, text: str) -> Bench:
        """A world as its scenario has it."""
        if text not in self.made:
            self.made[text] = self.client.create_world(f"time-{len(self.made)}", scenario_yaml=text)
        else:
            self.made[text].reset()
        return Bench(self.made[text])
