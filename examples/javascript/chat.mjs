// Asks for an answer over gRPC, whole and streamed: node chat.mjs [http://localhost:50051]
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { InferenceService } from "./gen/ts/llm_inference/v1/inference_pb.js";

const baseUrl = process.argv[2] ?? "http://localhost:50051";
const client = createClient(InferenceService, createGrpcTransport({ baseUrl }));
const request = { messages: [{ role: "user", content: "Who wrote Hamlet?" }], maxTokens: 40 };

const answer = await client.chat(request, { timeoutMs: 60_000 });
console.log(answer.message.content);
for await (const part of client.chatStream(request, { timeoutMs: 60_000 })) {
  const piece = part.event.case === "delta" ? part.event.value.piece : {};
  if (piece.case === "content") process.stdout.write(piece.value);
}
