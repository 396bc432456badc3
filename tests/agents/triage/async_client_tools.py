"""Tools of one's own on STACK's asynchronous SDK, in the streaming tool runner of Anthropic's asynchronous SDK."""

import asyncio
import json
import os

from anthropic import AsyncAnthropic, beta_async_tool
from anthropic.lib.tools import ToolError
from getstack import AsyncStack
from getstack.errors import StackError

ISSUES = "https://api.github.com/repos/acme/shop/issues"


def tools(stack):
    """The tools of the agent."""

    async def proxied(service, method, url, body=None):
        token = os.environ["STACK_PASSPORT"]
        try:
            reply = await stack.proxy.request(service, url, method, body=body, passport_token=token)
        except StackError as refusal:
            raise ToolError(str(refusal)) from refusal
        return json.dumps(reply.body)

    @beta_async_tool
    async def read_issue(number: int) -> str:
        """Read an issue of the shop's repository."""
        return await proxied("github", "GET", f"{ISSUES}/{number}")

    @beta_async_tool
    async def announce(text: str) -> str:
        """Post a message to the triage channel."""
        body = {"channel": "#triage", "text": text}
        return await proxied("slack", "POST", "https://slack.com/api/chat.postMessage", body)

    @beta_async_tool
    async def comment(number: int, text: str) -> str:
        """Comment on an issue."""
        return await proxied("github", "POST", f"{ISSUES}/{number}/comments", {"body": text})

    @beta_async_tool
    async def read_salaries() -> str:
        """Read everybody's salary."""
        return await proxied("payroll", "GET", "https://payroll.example.com/v1/salaries")

    return [read_issue, announce, comment, read_salaries]


async def ask(claude, offered, text):
    """One question; prints what each message of the run holds."""
    print(f"user       {text}")
    runner = claude.beta.messages.tool_runner(
        model="claude-opus-5-5",
        max_tokens=1024,
        tools=offered,
        messages=[{"role": "user", "content": text}],
        stream=True,
    )
    async for stream in runner:
        reply = await stream.get_final_message()
        for block in reply.content:
            if block.type == "text":
                print(f"assistant  {block.text}")
            elif block.type == "tool_use":
                print(f"call       {block.name}")
        answered = await runner.generate_tool_call_response()
        for block in (answered or {"content": []})["content"]:
            print(f"result     {'refused' if block.get('is_error') else 'ok'}")


async def main():
    async with AsyncAnthropic() as claude, AsyncStack() as stack:
        offered = tools(stack)
        await ask(claude, offered, "Triage issue 7.")
        await ask(claude, offered, "And now the salaries, please.")


asyncio.run(main())
