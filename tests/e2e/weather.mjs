// A server of the Model Context Protocol on stdin and stdout, with one tool, which agents call without asking.
import { createInterface } from "node:readline";

const city = { enum: ["Rome", "Oslo"] };
const tool = {
  name: "weather",
  description: "Says the weather.",
  annotations: { readOnlyHint: true },
  inputSchema: { type: "object", properties: { city }, required: ["city"], additionalProperties: false },
};
const results = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: "sky", version: "1" },
  }),
  "tools/list": () => ({ tools: [tool] }),
  "tools/call": (call) => ({ content: [{ type: "text", text: `sunny in ${call.arguments.city}` }] }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) continue; // A notification.
  const result = results[method]?.(params) ?? {};
  console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
}
