// Asks yaml-language-server about a document and prints its answers as JSON.
//   node conversation.mjs <server.js> <request.json>
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

const [server, requestFile] = process.argv.slice(2);
const request = JSON.parse(readFileSync(requestFile, "utf8"));
const child = spawn(process.execPath, [server, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
const waiting = new Map();
let buffer = Buffer.alloc(0);
let number = 0;
let found;
const diagnosed = new Promise((resolve) => (found = resolve));

child.stdout.on("data", (data) => {
  buffer = Buffer.concat([buffer, data]);
  for (;;) {
    const end = buffer.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, end).toString())[1]);
    if (buffer.length < end + 4 + length) return;
    const message = JSON.parse(buffer.subarray(end + 4, end + 4 + length).toString());
    buffer = buffer.subarray(end + 4 + length);
    if (message.method === "textDocument/publishDiagnostics") found(message.params.diagnostics);
    else if (message.method && message.id !== undefined) send({ id: message.id, result: answerTo(message) });
    else if (waiting.has(message.id)) waiting.get(message.id)(message.result);
  }
});

function answerTo(message) {
  if (message.method !== "workspace/configuration") return null;
  const yaml = { validate: true, completion: true, hover: true, schemaStore: { enable: false } };
  return message.params.items.map((item) => (item.section === "yaml" ? yaml : {}));
}

function send(message) {
  const text = JSON.stringify({ jsonrpc: "2.0", ...message });
  child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
}

function ask(method, params) {
  number += 1;
  send({ id: number, method, params });
  return new Promise((resolve) => waiting.set(number, resolve));
}

const capabilities = { workspace: { configuration: true }, textDocument: { completion: {}, hover: {} } };
await ask("initialize", { processId: process.pid, rootUri: null, capabilities });
send({ method: "initialized", params: {} });
const document = { uri: request.uri, languageId: "yaml", version: 1, text: request.text };
send({ method: "textDocument/didOpen", params: { textDocument: document } });
const diagnostics = await diagnosed;
const completions = [];
for (const position of request.complete) {
  const list = await ask("textDocument/completion", { textDocument: { uri: request.uri }, position });
  completions.push((list?.items ?? list ?? []).map((item) => item.label));
}
const hovers = [];
for (const position of request.hover) {
  const hover = await ask("textDocument/hover", { textDocument: { uri: request.uri }, position });
  hovers.push(hover?.contents?.value ?? "");
}
console.log(JSON.stringify({ diagnostics: diagnostics.map((one) => [one.range.start.line, one.message]), completions, hovers }));
child.kill();
