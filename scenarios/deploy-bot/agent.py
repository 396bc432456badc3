"""Announces a deploy through STACK. It names the real hosts and uses nothing but the published SDKs."""

import os

from anthropic import Anthropic
from getstack import Stack
from getstack.errors import UnauthorizedError

MODEL = "claude-opus-5-5"
CONNECTOR = {"anthropic-beta": "mcp-client-2025-04-04"}

claude = Anthropic()
stack = Stack(api_key=os.environ["STACK_API_KEY"])


def ask(text: str, bearer: str) -> None:
    """One turn of conversation with STACK's MCP server at the model's disposal."""
    print(f"user       {text}")
    message = claude.beta.messages.create(
        model=MODEL,
        max_tokens=1024,
        messages=[{"role": "user", "content": text}],
        mcp_servers=[
            {"type": "url", "url": "https://mcp.getstack.run/mcp", "name": "stack", "authorization_token": bearer}
        ],
        extra_headers=CONNECTOR,
    )
    for block in message.content:
        if block.type == "text":
            print(f"assistant  {block.text}")
        elif block.type == "mcp_tool_use":
            print(f"tool       {block.name} {block.input['method']} {block.input['url']}")
        elif block.type == "mcp_tool_result":
            print(f"result     {'error' if block.is_error else 'ok'}")


ask("The deploy started: tell #engineering.", os.environ["STACK_API_KEY"])

started = stack.missions.start(
    agent_id="agent_deploy_bot",
    mission={"intent_summary": "Announce the end of the deploy", "intent_services": ["slack"]},
    passport={"intent": {"summary": "Announce the end of the deploy", "services": ["slack"]}, "ttl_seconds": 900},
)
passport = started["passport"]
ask("The deploy finished: tell #engineering.", passport["token"])

stack.passports.revoke(passport["jti"], reason="deploy announced")
try:
    stack.proxy.post(
        "slack",
        "https://slack.com/api/chat.postMessage",
        body={"channel": "#engineering", "text": "one more thing"},
        passport_token=passport["token"],
    )
except UnauthorizedError as refusal:
    print(f"refused    {refusal.code}: {refusal}")
