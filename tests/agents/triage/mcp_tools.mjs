// The tool runner of TypeScript's SDK with the tools of STACK's MCP server, called by this process.
import Anthropic from "@anthropic-ai/sdk";
import { mcpTools } from "@anthropic-ai/sdk/helpers/beta/mcp";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const claude = new Anthropic();
const stack = new Client({ name: "triage", version: "1.0.0" });
const headers = { Authorization: `Bearer ${process.env.STACK_PASSPORT}` };
const endpoint = new URL("https://mcp.getstack.run/mcp");
await stack.connect(new StreamableHTTPClientTransport(endpoint, { requestInit: { headers } }));
const tools = mcpTools((await stack.listTools()).tools, stack);

async function ask(text) {
  console.log(`user       ${text}`);
  const runner = claude.beta.messages.toolRunner({
    model: "claude-opus-5-5",
    max_tokens: 1024,
    tools,
    messages: [{ role: "user", content: text }],
  });
  for await (const reply of runner) {
    for (const block of reply.content) {
      if (block.type === "text") console.log(`assistant  ${block.text}`);
      else if (block.type === "tool_use") console.log(`call       ${block.input.method} ${block.input.url}`);
    }
    for (const block of (await runner.generateToolResponse())?.content ?? [])
      console.log(`result     ${block.is_error ? "refused" : "ok"}`);
  }
}

await ask("Triage issue 7.");
await ask("And now the salaries, please.");
await stack.close();
