// The conversation on the page: its turns, kept in step with the messages, and the view at their end.

import { $ } from "../common/dom.js";
import { leftOut } from "./conversation.js";
import { Turn } from "./turn.js";

const AT_ONCE = 20; // Turns that are built before the page is shown; the earlier ones follow in pieces.
const PIECE = 8; // Milliseconds that a piece may take.
const NEAR = 80; // Pixels from the end within which the view follows it.

export class Thread {
  #element = $("conversation");
  #scroller = document.querySelector("main");
  #turns = new Map();
  #conversation = null;
  #rest = 0; // Turns at the beginning that are not built yet.
  #follows = true;
  #frame = 0;
  #costs = 0; // Milliseconds that the last drawing took.
  #drawn = 0;

  /** `answeringOf` returns the answer of a conversation that is being written, or undefined. */
  constructor(actions, answeringOf) {
    Object.assign(this, { actions, answeringOf });
    this.#scroller.addEventListener("scroll", () => this.#noteScroll(), { passive: true });
    $("to-end").onclick = () => this.toEnd();
    new ResizeObserver(() => this.#follows && this.#jump()).observe(this.#element);
  }

  /** Shows the conversation; null for none. */
  show(conversation) {
    const isOther = conversation?.id !== this.#conversation?.id;
    this.#conversation = conversation;
    if (isOther) this.#clear();
    const path = conversation?.path() ?? [];
    $("welcome").hidden = path.length > 0;
    this.#element.hidden = !path.length;
    if (isOther) this.#rest = Math.max(0, path.length - AT_ONCE);
    this.#drawAll(path);
    if (isOther) this.toEnd();
    if (this.#rest) this.#buildRest(conversation);
  }

  /** Draws the answer that is being written, at most once a frame, and never for more than a third of the time. */
  draw() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame((now) => {
      this.#frame = 0;
      if (now - this.#drawn < 2 * this.#costs) return this.draw();
      const begun = performance.now();
      this.#drawLast();
      this.#drawn = performance.now();
      this.#costs = this.#drawn - begun;
    });
  }

  toEnd() {
    this.#follows = true;
    this.#jump();
  }

  /** Puts the last question into a field, to be asked otherwise. */
  editLast() {
    const path = this.#conversation?.path() ?? [];
    const question = path.findLast(({ role }) => role === "user");
    if (question) this.#turns.get(question.id)?.edit();
  }

  #clear() {
    this.#element.replaceChildren();
    this.#turns.clear();
    this.#rest = 0;
  }

  #drawAll(path) {
    const shown = path.slice(this.#rest);
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, turn] of this.#turns) if (!ids.has(id)) (turn.element.remove(), this.#turns.delete(id));
    const out = new Set(leftOut(path));
    shown.forEach((message, index) => {
      const turn = this.#turn(message);
      if (this.#element.children[index] !== turn.element)
        this.#element.insertBefore(turn.element, this.#element.children[index] ?? null);
      turn.show(this.#stateOf(message, path, out));
    });
  }

  #turn(message) {
    const known = this.#turns.get(message.id);
    if (known) return Object.assign(known, { message });
    const made = new Turn(message, this.actions);
    this.#turns.set(message.id, made);
    return made;
  }

  #stateOf(message, path, out) {
    const answering = this.answeringOf(this.#conversation);
    return {
      versions: this.#conversation.versions(message),
      isLeftOut: out.has(message),
      isLast: message === path.at(-1),
      isBusy: Boolean(answering),
      answering: answering?.message.id === message.id ? answering : null,
    };
  }

  #drawLast() {
    const answering = this.#conversation && this.answeringOf(this.#conversation);
    const turn = answering && this.#turns.get(answering.message.id);
    if (!turn) return;
    turn.show({ ...turn.state, answering }); // Where it has grown, the observer follows it, after the frame's layout.
  }

  /** Builds the turns before those that are shown, from the last to the first, in pieces between which the page lives. */
  #buildRest(conversation) {
    const ahead = (run) =>
      "requestIdleCallback" in globalThis ? requestIdleCallback(run, { timeout: 500 }) : setTimeout(run, 20);
    ahead(() => {
      if (conversation !== this.#conversation || !this.#rest) return;
      const path = conversation.path();
      const out = new Set(leftOut(path));
      const until = performance.now() + PIECE;
      const bottom = this.#scroller.scrollHeight - this.#scroller.scrollTop;
      while (this.#rest && performance.now() < until) {
        const turn = this.#turn(path[(this.#rest -= 1)]);
        turn.show(this.#stateOf(turn.message, path, out));
        this.#element.prepend(turn.element);
      }
      this.#scroller.scrollTop = this.#scroller.scrollHeight - bottom;
      this.#buildRest(conversation);
    });
  }

  #noteScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR;
    $("to-end").hidden = this.#follows || this.#element.hidden;
  }

  #jump() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    if (!$("to-end").hidden) $("to-end").hidden = true;
  }
}
