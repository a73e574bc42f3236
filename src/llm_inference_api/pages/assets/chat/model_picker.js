// The choice of a model: the button in the page's head with the state, and the list with what is known of each.

import { $, button, make } from "../common/dom.js";
import { notice } from "../common/notices.js";
import { explain } from "../common/service.js";
import { STATES } from "../common/states.js";
import { bytes, number, t } from "../common/words.js";
import { generates } from "./models.js";

const INTERVAL = 1000; // Milliseconds between two looks at all models while the list is open.

export class ModelPicker {
  #rows = new Map();
  #timer = 0;

  /** `onchoice` is called with the id of the model that the user has chosen. */
  constructor(models, health, onchoice) {
    Object.assign(this, { models, health, onchoice });
    models.addEventListener("change", () => this.show());
    health.addEventListener("change", () => this.show());
    $("model").onclick = () => this.open();
    $("models").onclose = () => clearInterval(this.#timer);
  }

  open() {
    $("models").showModal();
    this.models.refresh(false);
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.models.refresh(), INTERVAL);
    this.show();
  }

  show() {
    this.#showHead(this.models.chosen);
    if ($("models").open) this.#showList();
  }

  #showHead(model) {
    const { words, state } = this.#state(model);
    const name = model?.id ?? t("No model");
    $("model-name").textContent = name;
    $("model-state").textContent = words;
    $("model-state").dataset.state = state;
    $("model-state").title = model?.reason ?? "";
    const label = `${t("Model")}: ${name}, ${words}`;
    if ($("model").ariaLabel !== label) $("model").ariaLabel = label;
    const share = this.health.state === "ready" ? shareOf(model?.progress) : null;
    $("model-progress").hidden = share === null;
    if (share !== null) $("model-progress").value = share;
  }

  #state(model) {
    if (this.health.state === "away") return { words: t("not reached, trying again"), state: "AWAY" };
    if (this.health.state === "closed") return { words: t("starting or stopping"), state: "AWAY" };
    if (!model) return { words: this.models.failure ? t("no list of models") : "", state: "AWAY" };
    return { words: wordsOf(model), state: model.state };
  }

  #showList() {
    $("models-problem").textContent = this.models.failure ? explain(this.models.failure) : "";
    for (const model of this.models.list) {
      const row = this.#rows.get(model.id) ?? this.#row(model.id);
      this.#update(row, model);
    }
  }

  #row(id) {
    const choose = make(
      "button",
      { type: "button", class: "choose" },
      make("strong", {}, id),
      make("span", { class: "model-state" }),
    );
    const facts = make("p", { class: "hint" });
    const reason = make("p", { class: "reason" });
    const progress = make("progress", { max: 1, aria: { label: t("Progress of {id}", { id }) } });
    const steer = button("", () => this.#steer(id), { class: "quiet steer" });
    const element = make("li", { class: "model", data: { id } }, choose, steer, progress, facts, reason);
    choose.onclick = () => {
      this.onchoice(id);
      $("models").close();
    };
    const row = { element, choose, facts, reason, progress, steer };
    this.#rows.set(id, row);
    $("model-list").append(element);
    return row;
  }

  #update({ choose, facts, reason, progress, steer }, model) {
    const isChosen = model.id === this.models.chosen?.id;
    choose.setAttribute("aria-pressed", String(isChosen));
    choose.disabled = !generates(model);
    const state = choose.querySelector(".model-state");
    state.dataset.state = model.state;
    state.textContent = wordsOf(model);
    facts.textContent = factsOf(model);
    reason.textContent = model.reason ?? "";
    const share = shareOf(model.progress);
    progress.hidden = share === null;
    if (share !== null) progress.value = share;
    const isIn = model.state === "ACTIVE";
    steer.textContent = t(isIn ? "Unload" : "Load");
    steer.ariaLabel = t(isIn ? "Unload {id}" : "Load {id}", { id: model.id });
    steer.disabled = /ING$/.test(model.state);
  }

  async #steer(id) {
    const isIn = this.models.list.find((model) => model.id === id)?.state === "ACTIVE";
    const row = this.#rows.get(id);
    row.steer.disabled = true;
    try {
      await (isIn ? this.models.unload(id) : this.models.load(id));
    } catch (failure) {
      row.reason.textContent = explain(failure);
      notice(explain(failure));
      this.models.refresh();
    }
  }
}

function shareOf(progress) {
  if (!progress?.total) return null;
  return Math.min(1, (progress.done ?? 0) / progress.total);
}

function wordsOf({ state, progress }) {
  const share = shareOf(progress);
  const words = t(STATES[state] ?? state);
  if (share === null) return words;
  if (progress.unit === "BYTES") return `${words}, ${bytes(progress.done ?? 0)} / ${bytes(progress.total)}`;
  return `${words}, ${Math.floor(100 * share)} %`;
}

function factsOf({ info, reference, id }) {
  if (!info) return reference && reference !== id ? reference : "";
  const facts = [info.description];
  if (info.size_bytes) facts.push(bytes(info.size_bytes));
  if (info.context_length) facts.push(t("context of {n} tokens", { n: number(info.context_length) }));
  if (info.memory_bytes) facts.push(t("{size} of memory", { size: bytes(info.memory_bytes) }));
  if (info.devices?.length) facts.push(info.devices.join(", "));
  if (!info.generates) facts.push(t("does not chat"));
  return facts.filter(Boolean).join(" · ");
}
