// An answer that is being written: asks, waits, tries again, and keeps what came.

import { Failure, call, events, explain, statusFailure } from "../common/service.js";
import { t } from "../common/words.js";

const TRIES = 20; // Of requests that the service has not begun to answer.
const AWAY = 3; // Seconds until a service that cannot be reached is asked again.
const SAVE_INTERVAL = 1000; // Milliseconds between two writes of an answer that grows.
const ENDS = { STOP: "whole", LENGTH: "cut", TOOL_CALLS: "calls" };

/** Dispatches "change" whenever the answer or its progress is another one, and "end" once. */
export class Answering extends EventTarget {
  progress = t("Waiting for the model…");
  isWaiting = false; // For the time of the next try.
  #stopping = new AbortController();
  #wake = () => {};
  #begun = 0;
  #received = false;

  /** `body` is what is asked; what is answered goes to the end of `message`, which `save` keeps. */
  constructor(message, body, save) {
    super();
    Object.assign(this, { message, body, save });
  }

  stop() {
    this.#stopping.abort();
  }

  tryNow() {
    this.#wake();
  }

  /** Resolves when the answer has ended, in whatever way; the message tells which. */
  async run() {
    const saving = setInterval(() => this.save(), SAVE_INTERVAL);
    Object.assign(this.message, { end: null, problem: "" });
    await this.save();
    await this.#untilEnded();
    clearInterval(saving);
    this.progress = "";
    await this.save();
    this.dispatchEvent(new Event("end"));
  }

  async #untilEnded() {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#attempt();
      } catch (failure) {
        if (failure.name === "AbortError") return this.#ended("stopped");
        const after = failure.reason === "UNREACHABLE" ? AWAY : failure.retryAfter;
        if (this.#received || !after || tries === TRIES) return this.#ended("broken", failure);
        if (!(await this.#countDown(failure, after))) return this.#ended("stopped");
      }
    }
  }

  #ended(end, failure) {
    Object.assign(this.message, { end, problem: failure ? explain(failure) : "" });
    if (failure && !(failure instanceof Failure)) throw failure;
  }

  async #attempt() {
    this.#begun = performance.now();
    this.#tell(t("Waiting for the model…"));
    const response = await call("/api/chat/stream", { body: this.body, signal: this.#stopping.signal });
    for await (const event of events(response)) this.#take(event);
    if (this.message.end === null) throw new Failure(t("The connection was lost while the answer came."));
  }

  #take(event) {
    if (event.error) throw statusFailure(event.error);
    if (event.model) this.message.model = event.model;
    if (event.progress) this.#tell(wordsOf(event.progress));
    if (event.delta) this.#add(event.delta);
    if (event.finish_reason) this.message.end = ENDS[event.finish_reason] ?? "whole";
    if (event.usage)
      this.message.figures = { ...this.message.figures, ...figuresOf(event, performance.now() - this.#begun) };
  }

  #add({ content = "", reasoning_content: thought = "", tool_call: part }) {
    if (!content && !thought && !part) return;
    const now = performance.now() - this.#begun;
    if (!this.#received) this.message.figures = { first: now };
    this.#received = true;
    this.message.content += content;
    if (thought)
      Object.assign(this.message, {
        thoughts: (this.message.thoughts ?? "") + thought,
        thoughtsTime: now - this.message.figures.first,
      });
    if (part) addCall((this.message.calls ??= []), part);
    this.#tell(content ? "" : thought ? t("Thinking…") : this.progress);
  }

  async #countDown(failure, seconds) {
    const until = performance.now() + seconds * 1000;
    this.isWaiting = true;
    let goesOn = true;
    for (let left = seconds; left > 0 && goesOn; left = (until - performance.now()) / 1000) {
      this.#tell(`${explain(failure)} ${t("Trying again in {n} s.", { n: Math.ceil(left) })}`);
      const woken = await this.#pause(Math.min(1000, left * 1000));
      if (woken) break;
      goesOn = !this.#stopping.signal.aborted;
    }
    this.isWaiting = false;
    return goesOn && !this.#stopping.signal.aborted;
  }

  /** Resolves after the time to false, or to true when the user does not want to wait. */
  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), milliseconds);
      const end = (woken) => (clearTimeout(timer), resolve(woken));
      this.#wake = () => end(true);
      this.#stopping.signal.addEventListener("abort", () => end(false), { once: true });
    });
  }

  #tell(progress) {
    this.progress = progress;
    this.dispatchEvent(new Event("change"));
  }
}

function addCall(calls, { index = 0, id, name, arguments: more = "" }) {
  const call = (calls[index] ??= { id: "", name: "", arguments: "" });
  call.id ||= id ?? "";
  call.name ||= name ?? "";
  call.arguments += more;
}

function figuresOf({ usage, timings, max_tokens: most }, time) {
  return {
    prompt: usage.prompt_tokens,
    cached: usage.cached_tokens ?? 0,
    completion: usage.completion_tokens,
    total: usage.total_tokens,
    speed: timings?.completion_tokens_per_second ?? 0,
    most,
    time,
  };
}

function wordsOf({ stage, requests_ahead: ahead, prompt_tokens: all, computed_tokens: done }) {
  if (stage === "LOADING") return t("The model is being loaded…");
  if (stage === "QUEUED" && ahead > 1) return t("{n} requests before yours…", { n: ahead });
  if (stage === "QUEUED") return ahead ? t("1 request before yours…") : t("Yours is next…");
  return all ? t("Reading: {n} %", { n: Math.floor((100 * (done ?? 0)) / all) }) : t("Reading…");
}
