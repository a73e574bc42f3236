// Calls of tools in an answer, and fields for their results.

import { button, icon, make } from "../common/dom.js";
import { t } from "../common/words.js";

/** Returns the elements of an answer's calls; the last answer's have a field for the result of each. */
export function callsOf(message, { isLast, isBusy }, actions) {
  const cards = message.calls.filter(Boolean).map(cardOf);
  if (message.end !== "calls" || !isLast) return cards;
  const fields = message.calls.map(({ name }, index) => fieldOf(name, `result-${message.id}-${index}`));
  cards.forEach((card, index) => card.append(fields[index]));
  const send = button(
    t("Send the results"),
    () => {
      const results = fields.map((field) => field.querySelector("textarea").value);
      actions.giveResults(message, results);
    },
    { class: "primary", disabled: isBusy },
  );
  return [...cards, send];
}

function cardOf({ name, arguments: given }) {
  const head = make("div", { class: "call-name" }, icon("icon-tool"), make("span", {}, t("Calls {name}", { name })));
  return make(
    "div",
    { class: "call" },
    head,
    make("pre", { tabIndex: 0, aria: { label: t("Arguments") } }, pretty(given)),
  );
}

function fieldOf(name, id) {
  const field = make("textarea", { id, rows: 2, placeholder: t("What the tool answers") });
  return make("label", { htmlFor: id, class: "hint" }, t("Result of {name}", { name }), field);
}

/** Returns JSON with its usual spaces; other text, such as JSON that is still coming, as it is. */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
