// One message of the conversation on the page, with what can be done about it.

import { button, copy, icon, make } from "../common/dom.js";
import { duration, number, t, tokens } from "../common/words.js";
import { MarkdownView } from "../markdown/view.js";
import { callsOf } from "./calls.js";

const NAMES = { user: "You", assistant: "Answer", tool: "Result of a tool" };

export class Turn {
  #text = make("div", { class: "text" });
  #view = new MarkdownView(this.#text);
  #thoughts = null;
  #calls = make("div", { class: "calls" });
  #waiting = make("p", { class: "waiting", hidden: true });
  #mark = make("p", { class: "mark", hidden: true });
  #footer = make("footer");
  #shownFooter = "";
  #changing = []; // Buttons of the footer that change the conversation, which no one does while an answer is written.

  /** `actions` are those of the page: ask again, continue, edit, show a version, give a call's result. */
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    const heading = make("h3", { class: "hidden-label" }, t(NAMES[message.role]));
    this.element = make("article", { class: `turn ${message.role}`, data: { id: message.id } }, heading);
    this.element.append(
      this.#text,
      ...(message.role === "assistant" ? [this.#calls, this.#waiting] : []),
      this.#mark,
      this.#footer,
    );
  }

  /** Shows the message as it is now. `state`: {versions, isLeftOut, isLast, isBusy, results, answering}. */
  show(state) {
    this.state = state;
    if (this.message.role === "assistant") this.#showAnswer();
    else this.#showText();
    this.#showMark();
    this.#showFooter();
  }

  #showText() {
    if (this.message.role === "tool") return void this.#text.replaceChildren(resultOf(this.message));
    if (this.#text.textContent === this.message.content && !this.element.classList.contains("editing")) return;
    this.element.classList.remove("editing");
    this.#text.replaceChildren(this.message.content);
    const isLong = this.message.content.length > 2500 || this.message.content.split("\n").length > 25;
    this.#text.classList.toggle("long", isLong);
    if (isLong) this.#text.after(this.#unfold());
  }

  #unfold() {
    this.element.querySelector(".unfold")?.remove();
    const words = (isOpen) => t(isOpen ? "Show less" : "Show all");
    const made = button(
      words(false),
      () => {
        made.textContent = words(!this.#text.classList.toggle("long"));
      },
      { class: "quiet unfold" },
    );
    return made;
  }

  #showAnswer() {
    const { content, end, thoughts, calls } = this.message;
    const isWhole = end !== null;
    if (thoughts) this.#showThoughts(isWhole);
    this.#view.show(content, isWhole);
    if (calls?.length) this.#calls.replaceChildren(...callsOf(this.message, this.state, this.actions));
    const progress = this.state.answering?.progress ?? "";
    this.#waiting.hidden = !progress;
    const words = this.#waiting.firstChild;
    if (!words) this.#waiting.append(progress);
    else if (words.data !== progress) words.data = progress;
    this.#showTryNow(Boolean(this.state.answering?.isWaiting));
    this.element.ariaBusy = String(!isWhole);
  }

  #showTryNow(isWaiting) {
    const shown = this.#waiting.querySelector("button");
    if (!isWaiting) shown?.remove();
    else if (!shown) this.#waiting.append(button(t("Try now"), () => this.state.answering?.tryNow()));
  }

  #showThoughts(isWhole) {
    const { thoughts, thoughtsTime, content } = this.message;
    if (!this.#thoughts) {
      this.#thoughts = make(
        "details",
        { class: "thoughts" },
        make("summary"),
        make("div", { tabIndex: 0, role: "group", ariaLabel: t("Thoughts") }),
      );
      this.#text.before(this.#thoughts);
    }
    const [summary, body] = this.#thoughts.children;
    const isThinking = !isWhole && !content;
    const words = isThinking ? t("Thinking…") : t("Thought for {time}", { time: duration(thoughtsTime ?? 0) });
    if (summary.textContent !== words) summary.textContent = words;
    if (body.firstChild && thoughts.startsWith(body.firstChild.data))
      body.firstChild.appendData(thoughts.slice(body.firstChild.data.length));
    else body.replaceChildren(thoughts);
  }

  #showMark() {
    const { role } = this.message;
    const mark = role === "user" ? this.#markOfQuestion() : role === "assistant" ? this.#markOfAnswer() : null;
    this.#mark.hidden = !mark;
    if (!mark || this.#mark.dataset.words === `${mark.words} ${mark.action}`) return;
    this.#mark.dataset.words = `${mark.words} ${mark.action}`;
    this.#mark.className = `mark ${mark.kind ?? ""}`;
    this.#mark.replaceChildren(icon(mark.kind === "wrong" ? "icon-warning" : "icon-cut"), make("span", {}, mark.words));
    if (mark.action) this.#mark.append(button(mark.action, mark.run));
  }

  #markOfQuestion() {
    if (!this.state.isLeftOut) return null;
    const run = () => this.actions.askAgain(this.message);
    return { words: t("Not answered, so it is not sent again."), action: t("Ask again"), run };
  }

  #markOfAnswer() {
    const { end, content, problem, figures, calls } = this.message;
    if (end === null || end === "whole" || end === "calls") return null;
    const goesOn = content.trim() !== "" && !calls?.length;
    const isHere = !goesOn || this.state.isLast;
    const action = isHere && {
      action: t(goesOn ? "Continue" : "Try again"),
      run: () => (goesOn ? this.actions.goOn : this.actions.answerAgain)(this.message),
    };
    const isAbandoned = problem === "ABANDONED";
    if (end === "cut")
      return { words: t("Cut off at its longest length, {n}.", { n: tokens(figures?.most ?? 0) }), ...action };
    if (end === "stopped") return { words: t(goesOn ? "Stopped." : "Stopped before an answer came."), ...action };
    return {
      kind: "wrong",
      words: isAbandoned ? t("The page was closed while this was written.") : problem,
      ...action,
    };
  }

  #showFooter() {
    const { role, end, figures } = this.message;
    const wanted = JSON.stringify([this.state.versions.map(({ id }) => id), end, figures]);
    if (wanted !== this.#shownFooter) this.#buildFooter(role, end, figures);
    this.#shownFooter = wanted;
    for (const button of this.#changing) if (button.disabled !== this.state.isBusy) button.disabled = this.state.isBusy;
  }

  #buildFooter(role, end, figures) {
    this.#changing = [];
    this.#footer.hidden = role === "assistant" && end === null;
    this.#footer.replaceChildren(...this.#actions(), ...this.#versions());
    if (role === "assistant" && figures)
      this.#footer.append(
        make(
          "span",
          {
            class: "figures",
            title: t("Prompt: {prompt}, {cached} of them from the cache", {
              prompt: tokens(figures.prompt ?? 0),
              cached: number(figures.cached ?? 0),
            }),
          },
          wordsOf(this.message),
        ),
      );
  }

  #actions() {
    const { role, content } = this.message;
    const copying = button(t("Copy"), () => copy(this.message.content, copying), { symbol: "icon-copy" });
    const found = content ? [copying] : [];
    if (role === "user") found.push(this.#change(t("Edit"), () => this.edit(), "icon-edit"));
    if (role === "assistant")
      found.push(this.#change(t("Answer again"), () => this.actions.answerAgain(this.message), "icon-again"));
    return found;
  }

  #change(words, run, symbol) {
    const made = button(words, run, { symbol });
    this.#changing.push(made);
    return made;
  }

  #versions() {
    const { versions } = this.state;
    if (versions.length < 2) return [];
    const at = versions.indexOf(this.message);
    const show = (version) => () => this.actions.showVersion(version);
    const go = (step, words, symbol) =>
      versions[at + step]
        ? this.#change(words, show(versions[at + step]), symbol)
        : button(words, null, { symbol, disabled: true });
    const place = make("span", { class: "place" }, t("{n} of {all}", { n: at + 1, all: versions.length }));
    return [
      make(
        "span",
        { class: "versions" },
        go(-1, t("Version before"), "icon-before"),
        place,
        go(1, t("Version after"), "icon-after"),
      ),
    ];
  }

  /** Puts the question into a field, in its place. */
  edit() {
    const field = make("textarea", {
      value: this.message.content,
      rows: Math.min(12, this.message.content.split("\n").length + 1),
      aria: { label: t("Edit the question") },
    });
    const end = () => {
      this.#text.replaceChildren(); // Shown again below.
      this.show(this.state);
      this.element.querySelector("footer button")?.focus();
    };
    const send = () => field.value.trim() && this.actions.edit(this.message, field.value.trim());
    field.onkeydown = (event) => {
      if (event.key === "Escape") end();
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      send();
    };
    this.element.classList.add("editing");
    this.element.querySelector(".unfold")?.remove();
    this.#text.classList.remove("long");
    this.#text.replaceChildren(
      field,
      make("div", { class: "actions" }, button(t("Cancel"), end), button(t("Send"), send, { class: "primary" })),
    );
    field.focus();
  }
}

function resultOf({ name, content }) {
  return make(
    "details",
    { class: "call" },
    make("summary", {}, icon("icon-tool"), make("span", {}, t("Result of {name}", { name }))),
    make("pre", { tabIndex: 0 }, content),
  );
}

function wordsOf({ figures, model }) {
  const { completion, speed, first, cached } = figures;
  const words = [model ?? "", completion === undefined ? "" : tokens(completion)];
  if (speed) words.push(t("{n} per second", { n: number(speed) }));
  if (first !== undefined) words.push(t("first after {time}", { time: duration(first) }));
  if (cached) words.push(t("{n} cached", { n: number(cached) }));
  return words.filter(Boolean).join(" · ");
}
