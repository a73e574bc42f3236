// Streamed answers, a tool in a loop and a schema's object through the AI SDK's default model of OpenAI; prints them as JSON.
// node responses.mjs BASE_URL
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [baseURL] = process.argv.slice(2);
const provider = createOpenAI({ baseURL, apiKey: "none" });
const asked = { model: provider("tiny"), prompt: "Where?", maxRetries: 0 };

const stream = streamText({ ...asked, maxOutputTokens: 8 });
let text = "";
for await (const part of stream.textStream) text += part;
const usage = await stream.usage;

const schema = z.object({ city: z.enum(["Rome", "Oslo"]) });
const { output } = await generateText({ ...asked, maxOutputTokens: 400, output: Output.object({ schema }) });

const weather = tool({ description: "Says it", inputSchema: schema, execute: async () => "sunny" });
const looped = {
  ...asked,
  maxOutputTokens: 400,
  tools: { weather },
  prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
  stopWhen: stepCountIs(2),
};
// By references to stored items; and as a model that thinks of a caller who has nothing stored.
const steps = [];
for (const openai of [{}, { store: false, forceReasoning: true, reasoningSummary: "auto" }]) {
  const called = await generateText({ ...looped, providerOptions: { openai: { parallelToolCalls: false, ...openai } } });
  steps.push([called.steps[0].toolResults[0].output, called.steps.length]);
}

console.log(JSON.stringify({ text, tokens: usage.outputTokens, city: output.city, steps }));
