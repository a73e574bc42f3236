// A streamed answer and a schema's object through the AI SDK's model of OpenAI's chats; prints them as JSON.
// node chat.mjs BASE_URL
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, streamText } from "ai";
import { z } from "zod";

const [baseURL] = process.argv.slice(2);
const provider = createOpenAICompatible({ name: "local", baseURL, includeUsage: true, supportsStructuredOutputs: true });
const asked = { model: provider("tiny"), prompt: "Where?", seed: 3, maxRetries: 0 };

const stream = streamText({ ...asked, maxOutputTokens: 8 });
let text = "";
for await (const part of stream.textStream) text += part;
const usage = await stream.usage;

const schema = z.object({ city: z.enum(["Rome", "Oslo"]) });
const { output } = await generateText({ ...asked, maxOutputTokens: 400, output: Output.object({ schema }) });

console.log(JSON.stringify({ text, tokens: usage.outputTokens, city: output.city }));
