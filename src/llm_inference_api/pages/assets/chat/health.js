// Whether the service is there: asked of Envoy, which answers by itself, while somebody looks at the page.

const CALM = 5000; // Milliseconds between two questions.
const WORRIED = 1500; // The same while it is away.
const PATIENCE = 5000;

/** Dispatches "change" when `state` is another one: "ready", "away" (not reached) or "closed" (starts or stops). */
export class Health extends EventTarget {
  state = "ready";
  #timer = 0;
  #asks = false;

  start() {
    document.addEventListener("visibilitychange", () => document.hidden || this.ask());
    addEventListener("online", () => this.ask());
    addEventListener("offline", () => this.ask());
    this.ask();
  }

  async ask() {
    if (this.#asks) return;
    clearTimeout(this.#timer);
    this.#asks = true;
    const found = await ask();
    this.#asks = false;
    if (found !== this.state) {
      this.state = found;
      this.dispatchEvent(new Event("change"));
    }
    if (!document.hidden) this.#timer = setTimeout(() => this.ask(), found === "ready" ? CALM : WORRIED);
  }
}

async function ask() {
  try {
    const response = await fetch("/health/ready", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    return response.ok ? "ready" : "closed";
  } catch {
    return "away";
  }
}
