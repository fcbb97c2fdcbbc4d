// A client of another make: the SDK for TypeScript at one of Lar's doors. Prints what it found as JSON.
// node peer.mjs http|sse|stdio ADDRESS-OR-COMMAND ARGUMENTS…
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [door, target, ...rest] = process.argv.slice(2);
const transport = {
  http: () => new StreamableHTTPClientTransport(new URL(target)),
  sse: () => new SSEClientTransport(new URL(target)),
  stdio: () => new StdioClientTransport({ command: target, args: rest, env: process.env, stderr: "ignore" }),
}[door]();
const client = new Client({ name: "peer", version: "1" });
await client.connect(transport);
const { tools } = await client.listTools();
const progress = [];
const now = await client.callTool({ name: "time_now", arguments: { zones: ["UTC"] } });
const made = await client.callTool(
  { name: "inference_generate", arguments: { prompt: "Say hello", model: "scripted", max_tokens: 20 } },
  undefined,
  { onprogress: (each) => progress.push(each.progress) },
);
const { resourceTemplates } = await client.listResourceTemplates();
const wrong = await client.callTool({ name: "time_now", arguments: { zones: ["Nowhere/Land"] } });
await client.close();
process.stdout.write(
  JSON.stringify({
    tools: tools.map((each) => each.name),
    now: now.structuredContent?.moments?.[0]?.zone,
    made: made.isError ? made.content[0].text : made.structuredContent?.text,
    templates: resourceTemplates.length,
    wrong: wrong.isError,
  }) + "\n",
);
process.exit(0);
