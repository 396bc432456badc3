"""Tools of one's own, which call STACK's proxy, in the tool runner of Anthropic's SDK."""

import json
import os

from anthropic import Anthropic, beta_tool
from anthropic.lib.tools import ToolError
from getstack import Stack
from getstack.errors import StackError

ISSUES = "https://api.github.com/repos/acme/shop/issues"

claude = Anthropic()
stack = Stack()


def proxied(service, method, url, body=None):
    """What the service answered, as JSON text; STACK's refusal becomes the tool's error."""
    try:
        reply = stack.proxy.request(service, url, method, body=body, passport_token=os.environ["STACK_PASSPORT"])
    except StackError as refusal:
        raise ToolError(str(refusal)) from refusal
    return json.dumps(reply.body)


@beta_tool
def read_issue(number: int) -> str:
    """Read an issue of the shop's repository.

    Args:
        number: the issue's number.
    """
    return proxied("github", "GET", f"{ISSUES}/{number}")


@beta_tool
def announce(text: str) -> str:
    """Post a message to the triage channel.

    Args:
        text: what to post.
    """
    body = {"channel": "#triage", "text": text}
    return proxied("slack", "POST", "https://slack.com/api/chat.postMessage", body)


@beta_tool
def comment(number: int, text: str) -> str:
    """Comment on an issue.

    Args:
        number: the issue's number.
        text: the comment.
    """
    return proxied("github", "POST", f"{ISSUES}/{number}/comments", {"body": text})


@beta_tool
def read_salaries() -> str:
    """Read everybody's salary."""
    return proxied("payroll", "GET", "https://payroll.example.com/v1/salaries")


def ask(text):
    """One question; prints what each message of the run holds."""
    print(f"user       {text}")
    runner = claude.beta.messages.tool_runner(
        model="claude-opus-5-5",
        max_tokens=1024,
        tools=[read_issue, announce, comment, read_salaries],
        messages=[{"role": "user", "content": text}],
    )
    for reply in runner:
        for block in reply.content:
            if block.type == "text":
                print(f"assistant  {block.text}")
            elif block.type == "tool_use":
                print(f"call       {block.name}")
        for block in (runner.generate_tool_call_response() or {"content": []})["content"]:
            print(f"result     {'refused' if block.get('is_error') else 'ok'}")


ask("Triage issue 7.")
ask("And now the salaries, please.")
