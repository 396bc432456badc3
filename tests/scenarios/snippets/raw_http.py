"""Both APIs without an SDK: with the library named on the command line, requests or httpx."""

import importlib
import os
import sys

library = importlib.import_module(sys.argv[1])
stack = {"Authorization": f"Bearer {os.environ['STACK_API_KEY']}"}
anthropic = {
    "x-api-key": os.environ["ANTHROPIC_API_KEY"],
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "mcp-client-2025-04-04",
}

agents = library.get("https://api.getstack.run/v1/agents", headers=stack)
print(agents.status_code, [agent["name"] for agent in agents.json()])

started = library.post(
    "https://api.getstack.run/v1/missions/start",
    headers=stack,
    json={"agent_id": agents.json()[0]["id"], "mission": {"intent_summary": "Announce deploys"}},
)
passport = started.json()["passport"]
print(started.status_code, passport["jti"])

server = {
    "type": "url",
    "url": "https://mcp.getstack.run/mcp",
    "name": "stack",
    "authorization_token": passport["token"],
}
message = library.post(
    "https://api.anthropic.com/v1/messages",
    headers=anthropic,
    json={
        "model": "claude-opus-5-5",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "The deploy is done: post it."}],
        "mcp_servers": [server],
    },
)
print(message.status_code, [block["type"] for block in message.json()["content"]])

revoked = library.post("https://api.getstack.run/v1/passports/revoke", headers=stack, json={"jti": passport["jti"]})
refused = library.post(
    "https://api.getstack.run/v1/proxy",
    headers={**stack, "X-Passport-Token": passport["token"]},
    json={"service": "slack", "url": "https://slack.com/api/auth.test", "method": "GET"},
)
print(revoked.status_code, refused.status_code, refused.json()["error"]["code"])
