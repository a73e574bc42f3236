// The conversations that are kept, and word of their changes to this page and to the other tabs.

import { Conversation, newId } from "./conversation.js";
import { openDatabase } from "./database.js";

const ABANDONED = 10_000; // Milliseconds after which an answer that no tab has written to has no writer any more.
const UNDO = 60_000; // Milliseconds for which a deleted conversation can be had back.

/** The id of this tab, the same after a reload. */
export const TAB = (sessionStorage.tab ??= newId());

export class Store extends EventTarget {
  #database;
  #tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("conversations") : null;

  static async open() {
    const store = new Store();
    store.#database = await openDatabase();
    store.#tabs?.addEventListener("message", ({ data }) => store.#tell(data, true));
    await store.#purge();
    return store;
  }

  get isLasting() {
    return this.#database.isLasting;
  }

  /** Returns the records of all conversations, the one last changed first. */
  async list() {
    const all = await this.#database.all("conversations");
    return all.filter(({ deleted }) => !deleted).sort((one, other) => other.updated - one.updated);
  }

  /** Returns the conversation, or null. */
  async load(id) {
    const record = await this.#database.get("conversations", id);
    if (!record || record.deleted) return null;
    const messages = await this.#database.where("messages", id);
    messages.filter(isAbandoned).forEach((message) => Object.assign(message, { end: "broken", problem: "ABANDONED" }));
    return new Conversation(record, messages);
  }

  /** Keeps the conversation's record, and these messages of it. */
  async save(conversation, ...messages) {
    for (const message of messages)
      if (message.end === null) Object.assign(message, { saved: Date.now(), writer: TAB });
    await this.#database.put("conversations", conversation.record);
    if (messages.length) await this.#database.put("messages", ...messages);
    this.#tell(conversation.id);
  }

  /** Keeps a change of the record alone, which other fields of it survive. */
  async change(id, fields) {
    await this.#database.update("conversations", id, fields);
    this.#tell(id);
  }

  remove(id) {
    return this.change(id, { deleted: Date.now() });
  }

  restore(id) {
    return this.change(id, { deleted: 0 });
  }

  /** Returns the ids of the conversations that have the text, in whatever case. */
  async search(text) {
    const wanted = text.toLocaleLowerCase();
    const has = (value) => (value ?? "").toLocaleLowerCase().includes(wanted);
    const messages = await this.#database.all("messages");
    const titles = (await this.list()).filter(({ title }) => has(title)).map(({ id }) => id);
    return new Set([...titles, ...messages.filter(({ content }) => has(content)).map((found) => found.conversation)]);
  }

  async #purge() {
    for (const { id, deleted } of await this.#database.all("conversations")) {
      if (!deleted || Date.now() - deleted < UNDO) continue;
      const messages = await this.#database.where("messages", id);
      await this.#database.remove("messages", ...messages.map((message) => message.id));
      await this.#database.remove("conversations", id);
    }
  }

  #tell(id, fromAnotherTab = false) {
    if (!fromAnotherTab) this.#tabs?.postMessage(id);
    this.dispatchEvent(new CustomEvent("change", { detail: { id, fromAnotherTab } }));
  }
}

/** Whether nobody writes the answer any more: its tab was closed, or is this one, loaded again. */
function isAbandoned({ role, end, saved, writer }) {
  return role === "assistant" && end === null && (writer === TAB || Date.now() - saved > ABANDONED);
}
