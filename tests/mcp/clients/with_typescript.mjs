// What a program on a TypeScript SDK does: lists the tools, calls some, prints what it saw as JSON.
// Usage: node with_typescript.mjs 1|2 URL BEARER CALLS
const [release, url, bearer, calls] = process.argv.slice(2);
const modules =
  release === "1"
    ? ["@modelcontextprotocol/sdk/client/index.js", "@modelcontextprotocol/sdk/client/streamableHttp.js"]
    : ["@modelcontextprotocol/client"];
const { createRequire } = await import("node:module");
const { pathToFileURL } = await import("node:url");
const from = createRequire(`${process.env.PACKAGES}/package.json`);
const load = async (name) => import(pathToFileURL(from.resolve(name)));
const sdk = Object.assign({}, ...(await Promise.all(modules.map(load))));

async function call(client, [name, args]) {
  try {
    const result = await client.callTool({ name, arguments: args });
    return { error: result.isError ?? false, shown: result.content[0].text, structured: result.structuredContent };
  } catch (error) {
    return { error: error.code ?? null, shown: error.message };
  }
}

async function main() {
  const client = new sdk.Client({ name: "with-typescript", version: "1.0.0" });
  const headers = { Authorization: `Bearer ${bearer}` };
  await client.connect(new sdk.StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  const tools = [];
  let cursor;
  do {
    const page = await client.listTools(cursor ? { cursor } : undefined);
    tools.push(...page.tools.map((tool) => tool.name));
    cursor = page.nextCursor;
  } while (cursor);
  const answers = [];
  for (const each of JSON.parse(calls)) answers.push(await call(client, each));
  await client.close();
  return { tools, answers };
}

let seen;
try {
  seen = await main();
} catch (error) {
  seen = { failed: `${error.name}: ${error.message}` };
}
console.log(JSON.stringify(seen));
