// The Connect protocol through Envoy, as a browser speaks it, there with createConnectTransport of @connectrpc/connect-web.
// node connect.mjs [http://localhost:8091]
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema } from "./gen/ts/google/rpc/error_details_pb.js";
import { InferenceService } from "./gen/ts/llm_inference/v1/inference_pb.js";

const baseUrl = process.argv[2] ?? "http://localhost:8091";
const client = createClient(InferenceService, createConnectTransport({ baseUrl, httpVersion: "1.1" }));

const request = { prompt: "Once upon a time", maxTokens: 20, seed: 1 };
console.log((await client.generate(request)).text);
for await (const part of client.generateStream(request)) {
  if (part.event.case === "text") process.stdout.write(part.event.value);
}
try {
  await client.generate({ prompt: "Once", model: "none" });
} catch (error) {
  const refused = ConnectError.from(error);
  const [info] = refused.findDetails(ErrorInfoSchema);
  console.log(`\n${Code[refused.code]} ${info.reason}: ${refused.rawMessage}`);
}
