// OpenAI's own client: responses whole, streamed and parsed, a tool in a loop, what is stored; prints them as JSON.
// node openai.mjs BASE_URL
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const [baseURL] = process.argv.slice(2);
const { responses } = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const asked = { model: "tiny", input: "Where?", max_output_tokens: 8, seed: 3 };

const stream = responses.stream(asked);
let text = "";
stream.on("response.output_text.delta", ({ delta }) => (text += delta));
const numbers = [];
for await (const event of stream) numbers.push(event.sequence_number);
const streamed = await stream.finalResponse();

const schema = z.object({ city: z.enum(["Rome", "Oslo"]) });
const place = zodTextFormat(schema, "place");
const parsed = await responses.parse({ ...asked, max_output_tokens: 400, text: { format: place } });
const again = await responses.create({ ...asked, input: [{ role: "user", content: "Where?" }, ...parsed.output] });

const tool = { type: "function", name: "weather", strict: true, parameters: place.schema };
const forced = { ...asked, max_output_tokens: 400, tools: [tool], parallel_tool_calls: false };
const first = await responses.create({ ...forced, tool_choice: "required" });
const [call] = first.output;
const second = await responses.create({
  ...asked,
  tools: [tool],
  tool_choice: "none",
  previous_response_id: first.id,
  input: [{ type: "function_call_output", call_id: call.call_id, output: "sunny" }],
});

const kept = await responses.retrieve(second.id);
const items = [];
for await (const item of responses.inputItems.list(second.id)) items.push(item.type);
const counted = await responses.inputTokens.count({ model: "tiny", input: "Where?" });
await responses.delete(second.id);
const gone = await responses.retrieve(second.id).catch((error) => error.code);

console.log(
  JSON.stringify({
    text,
    isWhole: text === streamed.output_text,
    areNumbered: numbers.every((number, place) => number === place),
    city: parsed.output_parsed.city,
    tokens: again.usage.output_tokens,
    called: JSON.parse(call.arguments).city,
    isKept: kept.output_text === second.output_text,
    items,
    isCounted: counted.input_tokens === streamed.usage.input_tokens,
    gone,
  }),
);
