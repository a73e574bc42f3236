// A conversation: a tree of messages, of which one path is shown and sent.
//
// A message: {id, conversation, parent, created, role, content} and, by role,
//   user:      nothing more
//   assistant: thoughts, thoughtsTime (ms), calls [{id, name, arguments}], model, end, problem, figures, saved, writer
//   tool:      call (the id of the call that it answers), name
// `end` says how an answer ended: "whole", "cut" (max_tokens), "stopped" (by the user), "broken", "calls", or null while
// it is being written.

/** Returns a random id. crypto.randomUUID exists on secure origins only. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Conversation {
  #below = null; // Messages by the id of their parent, oldest first.

  constructor(record, messages = []) {
    this.record = record; // {id, title, created, updated, leaf, model, settings, draft, deleted}
    this.messages = new Map(messages.map((message) => [message.id, message]));
  }

  static new(settings, model) {
    const now = Date.now();
    return new Conversation({
      id: newId(),
      title: "",
      created: now,
      updated: now,
      leaf: null,
      model,
      settings,
      draft: "",
    });
  }

  get id() {
    return this.record.id;
  }

  /** Adds a message below `parent`, and shows it. */
  add(fields, parent = this.record.leaf) {
    const message = { id: newId(), conversation: this.id, parent, created: Date.now(), content: "", ...fields };
    this.messages.set(message.id, message);
    this.#below = null;
    this.record.leaf = message.id;
    this.record.updated = message.created;
    return message;
  }

  /** The messages that are shown, oldest first. */
  path() {
    const found = [];
    for (let at = this.messages.get(this.record.leaf); at; at = this.messages.get(at.parent)) found.push(at);
    return found.reverse();
  }

  /** The versions of a message: those with the same parent, oldest first. */
  versions(message) {
    return this.#children(message.parent);
  }

  /** Shows the version, and what was last said after it. */
  show(message) {
    let at = message;
    for (let next = this.#children(at.id); next.length; next = this.#children(at.id)) at = next.at(-1);
    this.record.leaf = at.id;
  }

  #children(parent) {
    if (!this.#below) {
      const oldestFirst = [...this.messages.values()].sort((one, other) => one.created - other.created);
      this.#below = new Map();
      for (const message of oldestFirst)
        this.#below.set(message.parent, [...(this.#below.get(message.parent) ?? []), message]);
    }
    return this.#below.get(parent) ?? [];
  }
}

const isAnswered = (calls, said) => calls.every(({ id }) => said.some(({ call }) => call === id));

/** Returns the parts of a path that begin with a question each. */
function exchanges(path) {
  const found = [];
  for (const message of path) {
    if (message.role === "user" || !found.length) found.push([message]);
    else found.at(-1).push(message);
  }
  return found;
}

/** Returns what is sent of an exchange that is over: nothing where its question has no answer. */
function settled(exchange) {
  const [question, ...rest] = exchange;
  let last = rest.length;
  while (last && !isEnd(rest[last - 1])) last -= 1;
  return last ? [question, ...rest.slice(0, last).filter((message) => isSaid(message, rest))] : [];
}

const isEnd = (message) => message.role === "assistant" && message.content.trim() !== "";
const isSaid = (message, rest) =>
  message.role === "tool" || isEnd(message) || (message.calls?.length && isAnswered(message.calls, rest));

/** Returns the questions of a path that are not sent again, because a later one follows and no answer came. */
export function leftOut(path) {
  return exchanges(path)
    .slice(0, -1)
    .filter((exchange) => !settled(exchange).length)
    .map(([question]) => question);
}

/** Returns the messages to send, so that the model answers the path's last one; the roles alternate. */
export function toSend(path, system = "") {
  const parts = exchanges(path);
  const open = (parts.pop() ?? []).filter((message, index, all) => message.role === "user" || isSaid(message, all));
  const sent = [...parts.flatMap(settled), ...open].map(wireOf);
  return system ? [{ role: "system", content: system }, ...sent] : sent;
}

function wireOf(message) {
  const wire = { role: message.role, content: message.content };
  if (message.role === "tool") return { ...wire, tool_call_id: message.call, name: message.name };
  if (message.calls?.length) wire.tool_calls = message.calls;
  if (message.thoughts && (message.calls?.length || message.end === null)) wire.reasoning_content = message.thoughts;
  return wire;
}

/** Returns a title for the conversation: how its first question begins. */
export function titleOf(text) {
  const line = text.trim().split("\n")[0].replace(/\s+/g, " ");
  return line.length > 60 ? `${line.slice(0, 59).trimEnd()}…` : line;
}
