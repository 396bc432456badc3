// Tools of one's own, which call STACK's REST API, in the tool runner of TypeScript's SDK.
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { ToolError } from "@anthropic-ai/sdk/lib/tools/ToolError";

const ISSUES = "https://api.github.com/repos/acme/shop/issues";
const claude = new Anthropic();

async function proxied(service, method, url, body) {
  const response = await fetch("https://api.getstack.run/v1/proxy", {
    method: "POST",
    headers: {
      Authorization: `Bearer ${process.env.STACK_API_KEY}`,
      "X-Passport-Token": process.env.STACK_PASSPORT,
      "Content-Type": "application/json",
    },
    body: JSON.stringify({ service, method, url, body }),
  });
  const reply = await response.json();
  if (!response.ok) throw new ToolError(reply.error.message);
  return JSON.stringify(reply.body);
}

const number = { number: { type: "integer" } };
const text = { text: { type: "string" } };
const tool = (name, description, properties, run) =>
  betaTool({ name, description, inputSchema: { type: "object", properties, required: Object.keys(properties) }, run });
const tools = [
  tool("read_issue", "Read an issue.", number, ({ number }) => proxied("github", "GET", `${ISSUES}/${number}`)),
  tool("announce", "Post to the triage channel.", text, ({ text }) =>
    proxied("slack", "POST", "https://slack.com/api/chat.postMessage", { channel: "#triage", text }),
  ),
  tool("comment", "Comment on an issue.", { ...number, ...text }, ({ number, text }) =>
    proxied("github", "POST", `${ISSUES}/${number}/comments`, { body: text }),
  ),
  tool("read_salaries", "Read the salaries.", {}, () =>
    proxied("payroll", "GET", "https://payroll.example.com/v1/salaries"),
  ),
];

async function ask(text) {
  console.log(`user       ${text}`);
  const runner = claude.beta.messages.toolRunner({
    model: "claude-opus-5-5",
    max_tokens: 1024,
    tools,
    messages: [{ role: "user", content: text }],
    stream: true,
  });
  for await (const stream of runner) {
    for (const block of (await stream.finalMessage()).content) {
      if (block.type === "text") console.log(`assistant  ${block.text}`);
      else if (block.type === "tool_use") console.log(`call       ${block.name}`);
    }
    for (const block of (await runner.generateToolResponse())?.content ?? [])
      console.log(`result     ${block.is_error ? "refused" : "ok"}`);
  }
}

await ask("Triage issue 7.");
await ask("And now the salaries, please.");
