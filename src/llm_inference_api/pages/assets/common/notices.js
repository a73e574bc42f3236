// What is said beside the conversation: notices that pass, and words for screen readers alone.

import { $, button, make } from "./dom.js";
import { t } from "./words.js";

const SHOWN = 10_000; // Milliseconds.

/** Shows a notice for some seconds, with something to do about it if `action` is given. */
export function notice(text, action, run) {
  const element = make("p", { class: "notice" }, make("span", {}, text));
  const end = () => element.remove();
  if (action) element.append(button(action, () => (end(), run())));
  element.append(button(t("Close"), end, { symbol: "icon-close" }));
  $("notices").append(element);
  setTimeout(end, SHOWN);
}

/** Has screen readers say the text. */
export function announce(text) {
  $("announcer").textContent = text;
}
