"""Works in missions until they end: by time, by completion and by revocation. It names the real hosts."""

import json
import os
import urllib.request

from getstack import Stack
from getstack.errors import MissionEndedError, StackError

AGENT = "agent_report_bot"

stack = Stack(api_key=os.environ["STACK_API_KEY"])


def wait(duration):
    """Let the emulator's virtual clock run; the only line here that knows of an emulator."""
    url = f"{os.environ['STACK_EMU_URL']}/_emu/clock/advance"
    data = json.dumps({"by": duration}).encode()
    urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="POST"))
    print(f"  ({duration} pass)")


def attempt(title, call):
    """Do something and print its result, or the refusal; an ended mission has an error class of its own."""
    try:
        print(f"  {title}: {call()}")
    except MissionEndedError as ended:
        print(f"  {title}: MissionEndedError, {ended.mission_id} is {ended.mission_state}")
    except StackError as refusal:
        print(f"  {title}: {refusal.status_code} {refusal.code}")


def read(token):
    """One contact, through the proxy."""
    return stack.proxy.get("crm", "https://crm.example.com/v1/contacts/7", passport_token=token).body["name"]


def issue(mission_id):
    """A passport for a mission, for 15 minutes."""
    return stack.passports.issue(AGENT, intent="Report", services=["crm"], mission_ids=[mission_id])


def refresh(token):
    """A fresh passport for an old one; until when it lives."""
    return f"lives until {stack.passports.refresh(token).expires_at}"


def start(summary):
    """A mission with its passport."""
    return stack.missions.start(agent_id=AGENT, mission={"intent_summary": summary, "intent_services": ["crm"]})


print("a passport outlived, brought back within 24 hours, and the end of its mission")
passport = issue("ms_day")
attempt("read", lambda: read(passport.token))
wait("20h")
attempt("read, 20 hours later", lambda: read(passport.token))
attempt("refresh", lambda: refresh(passport.token))
wait("230m")
last = issue("ms_day")
print(f"  a new one for 15 minutes lives until {last.expires_at}, when the mission ends")
attempt("read", lambda: read(last.token))
wait("10m")
attempt("read, the mission is over", lambda: read(last.token))
attempt("refresh", lambda: refresh(last.token))
attempt("issue", lambda: issue("ms_day").jti)
print(f"  its status: {stack.missions.get('ms_day')['status']}")

print("a mission renewed, then completed")
done = start("Report once")
attempt("renew", lambda: "a second passport" if stack.missions.renew(done["mission_id"])["passport"]["jti"] else "none")
attempt("read", lambda: read(done["passport"]["token"]))
attempt("complete", lambda: stack.missions.complete(done["mission_id"], output={"contacts": 1})["transitioned"])
attempt("complete again", lambda: stack.missions.complete(done["mission_id"])["transitioned"])
attempt("refresh", lambda: refresh(done["passport"]["token"]))
attempt("renew", lambda: stack.missions.renew(done["mission_id"]))

print("a mission revoked")
stopped = start("Report too much")
attempt("read", lambda: read(stopped["passport"]["token"]))
attempt("revoke", lambda: stack.missions.revoke(stopped["mission_id"], reason="adversarial")["terminal_state"])
attempt("read", lambda: read(stopped["passport"]["token"]))
attempt("refresh", lambda: refresh(stopped["passport"]["token"]))
