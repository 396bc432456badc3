"""A scenario with a template in every place that has one."""

from __future__ import annotations

HEAD = "stack_emu: 1\n"
PLACES = """
stack_emu: 1
clock: {mode: virtual, start: 2026-03-01T00:00:00Z}
operator: {id: op_one, keys: [{key: sk_live_emu_bombs}]}
agents: [{id: agt_one, name: one}]
services: [{id: scon_one, provider: serviceone, upstream: one, credential: canary}]
upstreams:
  one:
    hosts: [one.test]
    routes:
      - {when: {path: /json}, reply: {json: {said: %(template)s}}}
      - {when: {path: /text}, reply: {text: %(template)s}}
      - {when: {path: /header}, reply: {json: {}, headers: {X-Said: %(template)s}}}
      - {when: {path: /callback}, reply: {json: {}}, callbacks: %(callbacks)s}
model: [{turns: [{say: %(template)s}]}]
"""
