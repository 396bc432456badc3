"""Asks for more than its agent was granted and prints what STACK answers. It names the real hosts."""

import os

from getstack import Stack
from getstack.errors import StackError

AGENT = "agent_intern_bot"

stack = Stack(api_key=os.environ["STACK_API_KEY"])


def attempt(title, call):
    """Do something and print its result, or the refusal in STACK's words."""
    print(title)
    try:
        print(f"  {call()}")
    except StackError as refusal:
        print(f"  {refusal.status_code} {refusal.code}: {refusal}")


mission = stack.missions.open("Read the news to the interns", agent_id=AGENT, intent_services=["slack", "github"])


def issue(**scope):
    """A passport that declares slack and github, narrowed to a scope when one is given."""
    return stack.passports.issue(
        AGENT,
        intent="Read the news to the interns",
        services=["slack", "github"],
        mission_ids=[mission["mission_id"]],
        scopes=[scope] if scope else None,
    )


def slack(method, channel):
    """A call to Slack with the passport; what Slack said."""
    url = f"https://slack.com/api/{method}"
    body = {"channel": channel, "text": "Good morning"}
    reply = stack.proxy.post("slack", url, body=body, passport_token=passport.token).body
    return "posted" if reply["ok"] else f"Slack says {reply['error']}, needed {reply.get('needed')}"


attempt("A scope the grant lacks", lambda: issue(service_connection_id="scon_slack", scopes=["channels:read"]))
attempt("A connection without a grant", lambda: issue(service_connection_id="scon_payroll", scopes=["salaries:read"]))

passport = issue()
attempt("What was granted", lambda: slack("chat.postMessage", "#interns"))
attempt("A channel the constraint leaves out", lambda: slack("chat.postMessage", "#board"))
attempt("A method that needs another scope", lambda: slack("conversations.list", "#interns"))
attempt(
    "A service that is declared, but not granted",
    lambda: stack.proxy.get("github", "https://api.github.com/user/repos", passport_token=passport.token),
)
attempt(
    "A service nobody declared",
    lambda: stack.proxy.get("payroll", "https://payroll.example.com/v1/salaries", passport_token=passport.token),
)
attempt("The credential itself", lambda: stack.credentials.get("slack", passport_token=passport.token))
