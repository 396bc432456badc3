"""A passport minted, used as the token of STACK's MCP server, and revoked, in the shape STACK's page shows."""

import os

from anthropic import Anthropic, BadRequestError
from getstack import StackClient
from getstack.errors import UnauthorizedError

stack = StackClient(api_key=os.environ["STACK_API_KEY"])
claude = Anthropic()

passport = stack.passports.issue(agent_id="agent_deploy_bot", intent="Announce deploys", ttl_seconds=900)
print("issued", passport.id)


def ask():
    return claude.beta.messages.create(
        model="claude-opus-5-5",
        max_tokens=500,
        betas=["mcp-client-2025-04-04"],
        mcp_servers=[
            {
                "type": "url",
                "url": "https://mcp.getstack.run/mcp",
                "name": "stack",
                "authorization_token": passport.token,
            }
        ],
        messages=[{"role": "user", "content": "The deploy is done: post it."}],
    )


print("answer", ask().content[-1].text)
stack.passports.revoke(passport.id)
try:
    ask()
except BadRequestError as refusal:
    print("refused", refusal.body["error"]["message"])
try:
    stack.proxy.get("slack", "https://slack.com/api/auth.test", passport_token=passport.token)
except UnauthorizedError as refusal:
    print("refused", refusal.code)
