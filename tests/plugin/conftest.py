from __future__ import annotations

import pytest

SCENARIO = """
stack_emu: 1
name: shop
seed: 3
operator: {id: op_shop, keys: [{key: sk_live_emu_shop}]}
agents:
  - {id: agent_clerk, name: clerk, accountability_mode: logged}
services:
  - id: scon_slack
    provider: slack
    scopes: [chat:write]
    grants: [{agent: agent_clerk}]
  - id: scon_orders
    provider: orders
    scopes: [read]
    grants: [{agent: agent_clerk}]
upstreams:
  slack: {pack: slack, seed: {channels: [{name: general}]}}
  orders:
    hosts: [orders.example.com]
    routes:
      - when: {method: GET, path: "/orders/{id}"}
        reply: {json: {id: "{{ request.params.id }}", state: open}}
model:
  - when: {user: hello}
    turns: [{say: "Hello to you."}]
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A user's project with a scenario in it."""
    pytester.makefile(".yaml", shop=SCENARIO)
    pytester.makeini(
        "[pytest]\naddopts = -p no:randomly -p no:cacheprovider -p no:schemathesis\nfilterwarnings = error\n"
    )
    return pytester
