"""Pays under a passport that lives from checkpoint to checkpoint, until one is missed. It names the real hosts."""

import json
import os
import urllib.request

from getstack import Stack
from getstack.errors import StackError

AGENT = "agent_payout_bot"
ENTRIES = "https://ledger.example.com/v1/entries"

stack = Stack(api_key=os.environ["STACK_API_KEY"])


def wait(duration):
    """Let the emulator's virtual clock run; the only line here that knows of an emulator."""
    url = f"{os.environ['STACK_EMU_URL']}/_emu/clock/advance"
    data = json.dumps({"by": duration}).encode()
    urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="POST"))
    print(f"({duration} pass)")


def attempt(title, call):
    """Do something and print its result, or the refusal."""
    try:
        print(f"{title}: {call()}")
    except StackError as refusal:
        print(f"{title}: {refusal.status_code} {refusal.code}: {refusal}")


def approved(token, amount):
    """A human's approval of one entry; the scenario's `approvals` plays the human."""
    intent = {"service": "ledger", "method": "POST", "url": ENTRIES, "body": {"amount": amount}}
    return stack.intents.submit_and_wait(intent, token)["final"]["approval_id"]


def pay(token, amount, approval=None):
    """One entry in the ledger; its id."""
    body = {"amount": amount}
    reply = stack.proxy.post("ledger", ENTRIES, body=body, passport_token=token, approval_id=approval)
    return f"{reply.status} {reply.body['id']}"


def checkpoint(jti, services=("ledger",), count=1):
    """Report what was done; until when the passport now lives."""
    report = stack.passports.checkpoint(jti, services_used=list(services), actions_count=count)
    return f"lives until {report.new_expires_at}, flags {report.flags}"


mission = stack.missions.open("Pay March", agent_id=AGENT, intent_services=["ledger"], expires_in_seconds=3600)
terms = {"mission_ids": [mission["mission_id"]], "checkpoint_interval": "2m", "ttl_seconds": 900}
attempt("without an intent", lambda: stack.passports.issue(AGENT, **terms))

first = stack.passports.issue(AGENT, intent="Pay March", services=["ledger"], **terms)
print(f"first passport lives until {first.expires_at}: the interval, not the 15 minutes it asked for")
attempt("pay on its own", lambda: pay(first.token, 100))
yes = approved(first.token, 100)
attempt("pay", lambda: pay(first.token, 100, yes))
attempt("pay with the same approval", lambda: pay(first.token, 100, yes))
wait("119s")
attempt("checkpoint", lambda: checkpoint(first.jti))
wait("119s")
attempt("pay again", lambda: pay(first.token, 200, approved(first.token, 200)))
attempt("checkpoint", lambda: checkpoint(first.jti))
wait("120s")
attempt("checkpoint, too late", lambda: checkpoint(first.jti))
attempt("pay once more", lambda: pay(first.token, 300))

second = stack.passports.issue(AGENT, intent="Pay March, the rest", services=["ledger"], **terms)
attempt("pay with another passport", lambda: pay(second.token, 300, approved(second.token, 300)))
attempt("report a service it never declared", lambda: checkpoint(second.jti, ("ledger", "crypto-exchange")))
attempt("pay after that", lambda: pay(second.token, 400))
