"""Revokes passports in each of STACK's ways and shows when the proxy notices. It names the real hosts."""

import json
import os
import urllib.request

from getstack import Stack
from getstack.errors import StackError

RELEASE, NOTES, WATCH = "agent_release_bot", "agent_notes_bot", "agent_watch_bot"
SLACK = "https://slack.com/api/chat.postMessage"

stack = Stack(api_key=os.environ["STACK_API_KEY"])


def start(agent_id, summary):
    """A mission of the agent, with its passport."""
    intent = {"summary": summary, "services": ["slack"], "will_delegate": True}
    mission = {"intent_summary": summary, "intent_services": ["slack"]}
    return stack.missions.start(agent_id=agent_id, mission=mission, passport={"intent": intent})["passport"]


def say(token, text):
    """Post a message, or print why STACK did not let it through."""
    try:
        reply = stack.proxy.post("slack", SLACK, body={"channel": "#releases", "text": text}, passport_token=token)
    except StackError as refusal:
        print(f"  {text:<28} {refusal.status_code} {refusal.code}")
    else:
        print(f"  {text:<28} {'posted' if reply.body['ok'] else reply.body['error']}")


def wait(duration):
    """Let the emulator's virtual clock run; the only line here that knows of an emulator."""
    url = f"{os.environ['STACK_EMU_URL']}/_emu/clock/advance"
    data = json.dumps({"by": duration}).encode()
    urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="POST"))
    print(f"  ({duration} pass)")


print("single: one passport of two")
first = start(RELEASE, "Announce release 1.4")
second = start(RELEASE, "Announce release 1.5")
say(first["token"], "single: before")
stack.passports.revoke(first["jti"], reason="release 1.4 is withdrawn")
print(f"  verify says valid: {stack.passports.verify(first['token'])['valid']}")
wait("44s")
say(first["token"], "single: 44 s later")
wait("1s")
say(first["token"], "single: 45 s later")
say(second["token"], "single: the other one")

print("agent: every passport of release-bot")
third = start(RELEASE, "Announce release 1.6")
done = stack.passports.revoke_agent(RELEASE, reason="release-bot is retired")
print(f"  {done['revoked_count']} revoked, {done['cascaded_count']} below them")
say(second["token"], "agent: still spreading")
wait("45s")
say(second["token"], "agent: second")
say(third["token"], "agent: third")

print("session: a passport with what was refreshed and delegated from it")
root = start(RELEASE, "Announce release 2.0")
renewed = stack.passports.refresh(root["token"])
helper = stack.passports.delegate(renewed.token, NOTES)
say(helper.token, "session: before")
session = stack.passports.verify(root["token"])["session_id"]
done = stack.passports.revoke_session(session, reason="session closed")
print(f"  {done['revoked_count']} revoked, {done['cascaded_count']} below them")
wait("45s")
for token, who in ((root["token"], "root"), (renewed.token, "refreshed"), (helper.token, "delegated")):
    say(token, f"session: {who}")

print("cascade: one passport and everything below it")
lead = start(RELEASE, "Announce release 2.1")
notes = stack.passports.delegate(lead["token"], NOTES)
watch = stack.passports.delegate(notes.token, WATCH)
for token, who in ((lead["token"], "lead"), (notes.token, "notes"), (watch.token, "watch")):
    say(token, f"cascade: {who} before")
done = stack.passports.revoke(lead["jti"], reason="release 2.1 is withdrawn")
print(f"  {done['revoked_count']} revoked, {done['cascaded_count']} below it")
wait("45s")
for token, who in ((lead["token"], "lead"), (notes.token, "notes"), (watch.token, "watch")):
    say(token, f"cascade: {who} after")
