// Anthropic's MCP connector from TypeScript's SDK. With --stream, the reply arrives in events.
import Anthropic from "@anthropic-ai/sdk";

const claude = new Anthropic();
const history = [];

async function ask(text) {
  console.log(`user       ${text}`);
  history.push({ role: "user", content: text });
  const request = {
    model: "claude-opus-5-5",
    max_tokens: 1024,
    messages: history,
    mcp_servers: [
      {
        type: "url",
        url: "https://mcp.getstack.run/mcp",
        name: "stack",
        authorization_token: process.env.STACK_PASSPORT,
      },
    ],
    tools: [{ type: "mcp_toolset", mcp_server_name: "stack" }],
    betas: ["mcp-client-2025-11-20"],
  };
  const reply = process.argv.includes("--stream")
    ? await claude.beta.messages.stream(request).finalMessage()
    : await claude.beta.messages.create(request);
  for (const block of reply.content) {
    if (block.type === "text") console.log(`assistant  ${block.text}`);
    else if (block.type === "mcp_tool_use") console.log(`call       ${block.input.method} ${block.input.url}`);
    else if (block.type === "mcp_tool_result") console.log(`result     ${block.is_error ? "refused" : "ok"}`);
  }
  history.push({ role: "assistant", content: reply.content });
}

await ask("Triage issue 7.");
await ask("And now the salaries, please.");
