// The service's models and their states: the list, and a watch on the chosen one while the page is looked at.

import { Failure, call, events } from "../common/service.js";

const AGAIN = 2000; // Milliseconds until a watch that ended is begun anew.

/** Dispatches "change" when a model's state or progress, the list or the choice is another one. */
export class Models extends EventTarget {
  list = [];
  defaults = {}; // What requests have where they set nothing, as far as it is a setting of the service.
  failure = null; // Why the list could not be had.
  #wanted = localStorage.model;
  #watch = null; // The AbortController of the watch that is open.

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => this.#follow());
  }

  /** The chosen model, or the first that answers chats, or undefined. */
  get chosen() {
    return this.list.find(({ id }) => id === this.#wanted) ?? this.list.find(generates) ?? this.list[0];
  }

  choose(id, { isLasting = true } = {}) {
    if (isLasting) localStorage.model = id;
    if (id === this.#wanted) return;
    this.#wanted = id;
    this.#changed();
    this.#follow();
  }

  async refresh(quiet = true) {
    try {
      const { models = [], defaults = {} } = await (await call("/api/llms", { quiet })).json();
      Object.assign(this, { list: models, defaults });
      this.failure = null;
    } catch (failure) {
      this.failure = failure;
    }
    this.#changed();
    if (!this.#watch) this.#follow();
  }

  load(id) {
    return this.#steer(id, "load");
  }

  unload(id) {
    return this.#steer(id, "unload");
  }

  /** Loads or unloads; the list tells the progress meanwhile. Throws Failure. */
  async #steer(id, verb) {
    await call(`/api/llms/${pathOf(id)}:${verb}`, { method: "POST" });
    await this.refresh();
  }

  // One connection, and none in tabs that are not looked at: browsers open six to a host, and answers need them too.
  async #follow() {
    this.#watch?.abort();
    this.#watch = null;
    const id = this.chosen?.id;
    if (document.hidden || id === undefined) return;
    const watch = (this.#watch = new AbortController());
    try {
      const response = await call(`/api/llms/${pathOf(id)}:watch`, { quiet: true, signal: watch.signal });
      for await (const { model } of events(response)) if (model) this.#put(model);
    } catch (error) {
      if (!(error instanceof Failure)) return; // Another one was begun.
    }
    if (this.#watch === watch) setTimeout(() => this.#watch === watch && ((this.#watch = null), this.refresh()), AGAIN);
  }

  #put(model) {
    this.list = this.list.map((known) => (known.id === model.id ? model : known));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Whether the model answers chats; what is not known yet is assumed. */
export const generates = ({ info }) => info?.generates !== false;

const pathOf = (id) => id.split("/").map(encodeURIComponent).join("/");
