// What a request may set, by the API's own description, and the body of a request from a conversation's settings.
//
// Settings: {system, values: {name: value}, thinking, effort, form: {kind, text}, tools}; all may be absent.

import { call } from "../common/service.js";

/** Kinds of forms that an answer may be restricted to, by the field of the request. */
export const FORMS = {
  json_schema: (text) => text,
  choice: (text) => ({ texts: lines(text) }),
  json_object: () => true,
  regex: (text) => text,
  lark: (text) => text,
  gbnf: (text) => text,
};
const FIRST = ["temperature", "top_p", "max_tokens", "seed"];
// The page has these in another way, or they are for programs.
const OTHERS = [
  ...["n", "logprobs", "top_logprobs", "timings", "return_progress", "json_object", "thinking"],
  ...["continue_final_message", "add_generation_prompt", "parallel_tool_calls"],
];

let asked = null;

/**
 * Returns the parameters, those of most use first: {name, kind, items, least, most, isBounded, isAbove, usual, words,
 * isFirst}. `usual` is empty where the default is a setting of the service.
 */
export function parameters() {
  asked ??= read().catch((failure) => {
    asked = null;
    throw failure;
  });
  return asked;
}

async function read() {
  const document = await (await call("/openapi.json", { quiet: true })).json();
  const properties = Object.entries(document.components.schemas.ChatRequest.properties);
  const found = properties
    .filter(([name, { type }]) => kindOf(type) && !OTHERS.includes(name))
    .map(parameterOf)
    .filter(({ kind, items }) => kind !== "list" || items);
  const first = FIRST.map((name) => found.find((parameter) => parameter.name === name)).filter(Boolean);
  return [...first, ...found.filter(({ isFirst }) => !isFirst)];
}

const kindOf = (type) => ({ number: "number", integer: "integer", boolean: "boolean", array: "list" })[type];

function parameterOf([name, { type, minimum, maximum, exclusiveMinimum, description, maxItems, items }]) {
  const usual = /Default: (-?[\d.]+|true|false)(?:[.,]|$)/.exec(description);
  return {
    name,
    kind: kindOf(type),
    items: items?.type === "string" ? maxItems : 0,
    least: minimum ?? exclusiveMinimum,
    isAbove: exclusiveMinimum !== undefined,
    most: maximum,
    isBounded: maximum < 2 ** 31 - 1,
    usual: usual ? usual[1].replace(/\.$/, "") : "",
    words: description,
    isFirst: FIRST.includes(name),
  };
}

export const lines = (text) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

/** Returns the request's fields for these settings. Throws SyntaxError where the tools are no JSON. */
export function fieldsOf(settings = {}) {
  const { values = {}, thinking, effort, form, tools } = settings;
  const fields = { ...values };
  if (thinking) fields.thinking = thinking === "on";
  if (effort) fields.reasoning_effort = effort;
  if (form?.kind && (form.kind === "json_object" || form.text.trim()))
    fields[form.kind] = FORMS[form.kind](form.text.trim());
  if (tools?.trim()) fields.tools = toolsOf(tools);
  return fields;
}

/** Returns the tools of a JSON text, as the API or as OpenAI's has them. Throws SyntaxError. */
export function toolsOf(text) {
  return [JSON.parse(text)].flat().map((tool) => {
    const { name, description = "", parameters: schema } = tool.function ?? tool;
    if (typeof name !== "string") throw new SyntaxError("name");
    return {
      name,
      description,
      ...(schema ? { parameters: typeof schema === "string" ? schema : JSON.stringify(schema) } : {}),
    };
  });
}

/** Returns how many of the settings are other than the service's own. */
export function countOf({ system, values = {}, thinking, effort, form, tools } = {}) {
  return [system, thinking, effort, form?.kind, tools].filter(Boolean).length + Object.keys(values).length;
}
