"""What a person's program does on its first run: no key, a terminal, and a browser. Prints one line of JSON."""

from __future__ import annotations

import json
import sys

from getstack import Stack

base_url, agent_id = sys.argv[1], sys.argv[2]
if agent_id == "-":
    with Stack(base_url=base_url) as stack:
        seen = [agent.id for agent in stack.agents.list()]
else:
    with Stack(agent_id=agent_id, base_url=base_url) as stack:
        seen = [stack.agents.get(agent_id).id]
print("SEEN " + json.dumps(seen))
