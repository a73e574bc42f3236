// Conversations as files: JSON, which has everything, and Markdown, which has what is shown.

import { newId, titleOf } from "./conversation.js";
import { t } from "../common/words.js";

const FORMAT = "llm-inference-api/conversations/1";
const ROLES = new Set(["user", "assistant", "tool"]);
const ENDS = new Set(["whole", "cut", "stopped", "broken", "calls"]);
const MARK = /^<!-- (system|user|assistant|tool) -->$/;

/** Returns the JSON of conversations. */
export function toJson(conversations) {
  const exported = conversations.map(({ record, messages }) => ({ ...record, messages: [...messages.values()] }));
  return JSON.stringify({ format: FORMAT, conversations: exported }, null, 1);
}

/** Returns the Markdown of the conversation as it is shown. */
export function toMarkdown(conversation) {
  const { title, settings } = conversation.record;
  const parts = conversation
    .path()
    .filter(({ content }) => content)
    .map(({ role, content }) => `<!-- ${role} -->\n${content}`);
  if (settings?.system) parts.unshift(`<!-- system -->\n${settings.system}`);
  return `# ${title}\n\n${parts.join("\n\n")}\n`;
}

/** Returns the conversations of a file as {record, messages}, with new ids. Throws Error in the user's words. */
export function fromFile(text) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    return [fromMarkdown(text)];
  }
  if (document?.format !== FORMAT || !Array.isArray(document.conversations))
    throw new Error(t("This file has no conversations of this page."));
  return document.conversations.map(fromRecord);
}

function fromRecord({ messages = [], ...record }) {
  const known = messages.filter(({ id, role, content }) => id && ROLES.has(role) && typeof content === "string");
  const ids = new Map(known.map(({ id }) => [id, newId()]));
  const conversation = newId();
  return {
    record: {
      ...recordOf(String(record.title ?? "")),
      ...timesOf(record),
      id: conversation,
      leaf: ids.get(record.leaf) ?? null,
      settings: record.settings ?? {},
      model: record.model,
    },
    messages: known.map((message) => ({
      ...message,
      id: ids.get(message.id),
      conversation,
      parent: ids.get(message.parent) ?? null,
      ...(message.role === "assistant" ? { end: ENDS.has(message.end) ? message.end : "broken" } : {}),
    })),
  };
}

const timesOf = ({ created, updated }) => ({
  created: Number(created) || Date.now(),
  updated: Number(updated) || Date.now(),
});
const recordOf = (title) => ({ title: title || t("Imported"), draft: "" });

function fromMarkdown(text) {
  const parts = [];
  const lines = text.split("\n");
  const title = /^# (.*)/.exec(lines[0])?.[1];
  for (const line of lines) {
    const role = MARK.exec(line)?.[1];
    if (role) parts.push({ role, content: "" });
    else if (parts.length) parts.at(-1).content += `${line}\n`;
  }
  if (!parts.length) throw new Error(t("This file has no conversations of this page."));
  const conversation = newId();
  const system = parts[0].role === "system" ? parts.shift().content.trim() : "";
  let parent = null;
  const messages = parts
    .filter(({ role }) => ROLES.has(role))
    .map(({ role, content }, index) => {
      const message = {
        id: newId(),
        conversation,
        parent,
        created: Date.now() + index,
        role,
        content: content.trim(),
        ...(role === "assistant" ? { end: "whole" } : {}),
      };
      parent = message.id;
      return message;
    });
  const record = {
    ...recordOf(title ?? titleOf(messages[0]?.content ?? "")),
    ...timesOf({}),
    id: conversation,
    leaf: parent,
    settings: system ? { system } : {},
  };
  return { record, messages };
}
