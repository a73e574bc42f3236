// The answers that are being written, at most one in each conversation, whichever of them is shown.

import { announce } from "../common/notices.js";
import { t } from "../common/words.js";
import { Answering } from "./answering.js";
import { toSend } from "./conversation.js";
import { fieldsOf } from "./parameters.js";

const SPOKEN = 1000; // Characters of an answer that screen readers say by themselves.

/** Dispatches "draw", with the conversation, whenever one's answer has grown. */
export class Answerings extends EventTarget {
  #running = new Map(); // {answering, conversation} by the conversation's id.

  constructor(store, models) {
    super();
    Object.assign(this, { store, models });
  }

  /** The answer that is being written in a conversation, or undefined. */
  of(id) {
    return this.#running.get(id)?.answering;
  }

  conversation(id) {
    return this.#running.get(id)?.conversation;
  }

  tryNow() {
    for (const { answering } of this.#running.values()) answering.tryNow();
  }

  /** Has the model write the message, or go on with it. Resolves when it has ended, in whatever way. */
  async run(conversation, message) {
    const { id, record } = conversation;
    if (this.#running.has(id)) return;
    message.end = null;
    let body;
    try {
      body = this.#bodyOf(conversation);
    } catch {
      Object.assign(message, { end: "broken", problem: t("The tools in the settings are not the JSON of tools.") });
      await this.store.save(conversation, ...conversation.path());
      return;
    }
    const answering = new Answering(message, body, () => this.store.save(conversation, message));
    this.#running.set(id, { answering, conversation });
    answering.addEventListener("change", () => this.dispatchEvent(new CustomEvent("draw", { detail: conversation })));
    await this.store.save(conversation, ...conversation.path().slice(-8)); // The question and results of tools are new.
    try {
      await answering.run();
    } finally {
      this.#running.delete(id);
    }
    record.updated = Date.now();
    await this.store.save(conversation, message);
    announce(wordsOf(message));
  }

  #bodyOf(conversation) {
    const { settings, model } = conversation.record;
    const messages = toSend(conversation.path(), settings?.system?.trim());
    const chosen = model ?? this.models.chosen?.id;
    return { messages, ...(chosen ? { model: chosen } : {}), ...fieldsOf(settings), timings: true };
  }
}

function wordsOf({ end, content, problem }) {
  const said = content.length > SPOKEN ? `${content.slice(0, SPOKEN)}…` : content;
  const words = {
    whole: t("The answer is complete."),
    cut: t("The answer reached its longest length and was cut."),
    stopped: t("Stopped."),
    calls: t("The model calls tools and waits for their results."),
    broken: problem,
  };
  return `${words[end]} ${end === "whole" || end === "cut" ? said : ""}`.trim();
}
