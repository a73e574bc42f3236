// A streamed answer, a schema's object, the models and a refusal through Ollama's client; prints them as JSON.
// node chat.mjs HOST
import { Ollama } from "ollama";

const [host] = process.argv.slice(2);
const ollama = new Ollama({ host });
const messages = [{ role: "user", content: "What is the capital of France?" }];
const asked = { model: "smollm2", messages, options: { temperature: 0, num_predict: 8 } };

let text = "";
let tokens = 0;
for await (const part of await ollama.chat({ ...asked, stream: true })) {
  text += part.message.content;
  tokens = part.eval_count ?? tokens;
}
const format = { type: "object", properties: { city: { enum: ["Rome", "Oslo"] } }, required: ["city"] };
const { message } = await ollama.chat({ ...asked, format, options: { temperature: 0 } });
const { models } = await ollama.list();
const refusal = await ollama.chat({ ...asked, model: "none" }).catch((error) => error.message);

console.log(JSON.stringify({ text, tokens, city: JSON.parse(message.content).city, models, refusal }));
