"""Hands a task down from agent to agent, each time with fewer scopes. It names the real hosts."""

import os

from getstack import Stack
from getstack.errors import StackError

SLACK = "https://slack.com/api/chat.postMessage"
ALL = ["chat:write", "channels:read", "channels:history", "reactions:write", "users:read"]
CHAIN = ["agent_planner", "agent_writer", "agent_editor", "agent_poster"]

stack = Stack(api_key=os.environ["STACK_API_KEY"])


def delegate(parent, child, scopes):
    """A passport for the child, made from the parent's; None with the reason printed when STACK refuses."""
    try:
        passport = stack.passports.delegate(
            parent["token"], child, scopes=[{"service_connection_id": "scon_slack", "scopes": scopes}]
        )
    except StackError as refusal:
        print(f"{parent['agent']} → {child}: {refusal.code}: {refusal}")
        return None
    print(f"{parent['agent']} → {child}: {', '.join(scopes)}")
    return {"agent": child, "token": passport.token, "jti": passport.jti}


def post(holder):
    """One message with the holder's passport; what came of it."""
    body = {"channel": "#newsroom", "text": f"{holder['agent']} was here"}
    try:
        reply = stack.proxy.post("slack", SLACK, body=body, passport_token=holder["token"])
    except StackError as refusal:
        return refusal.code
    return "posted" if reply.body["ok"] else reply.body["error"]


started = stack.missions.start(
    agent_id="agent_lead",
    mission={"intent_summary": "Publish the morning news", "intent_services": ["slack"]},
    passport={"intent": {"summary": "Publish the morning news", "services": ["slack"], "will_delegate": True}},
)
holders = [{"agent": "agent_lead", "token": started["passport"]["token"], "jti": started["passport"]["jti"]}]
for hop, child in enumerate(CHAIN, start=1):
    holders.append(delegate(holders[-1], child, ALL[: len(ALL) - hop]))

delegate(holders[-1], "agent_sixth", ["chat:write"])
delegate(holders[2], "agent_sixth", ["chat:write", "users:read"])
delegate(holders[2], "agent_careless", ["chat:write"])

print("before:", {holder["agent"]: post(holder) for holder in holders})
done = stack.passports.revoke(holders[2]["jti"], reason="the writer is off the story")
print(f"revoked {done['revoked_count']}, and {done['cascaded_count']} below it")
print("after: ", {holder["agent"]: post(holder) for holder in holders})
