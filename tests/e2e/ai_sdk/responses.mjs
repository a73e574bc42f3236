// Streamed answers, a tool in a loop and a schema's object through the AI SDK's default model of OpenAI; prints them as JSON.
// node responses.mjs BASE_URL
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, Output, streamText, tool } from "ai";
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
const called = await generateText({
  ...asked,
  maxOutputTokens: 400,
  tools: { weather },
  prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
  stopWhen: ({ steps }) => steps.length === 2,
});

const results = called.steps[0].toolResults.map((result) => result.output);

console.log(JSON.stringify({ text, tokens: usage.outputTokens, city: output.city, results, steps: called.steps.length }));
