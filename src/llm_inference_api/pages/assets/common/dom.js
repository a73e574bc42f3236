// Making and finding elements. Texts become text nodes, never markup.

import { t } from "./words.js";

export const $ = (id) => document.getElementById(id);

/** Returns a new element with these properties and children; `class`, `data` and `aria` are set as attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "aria")
      for (const [key, text] of Object.entries(value)) element.setAttribute(`aria-${key}`, text);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** Returns the icon that the page defines as a symbol of this name. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Returns a button; with `symbol` it shows that icon, and its words are its name and its hint. */
export function button(words, action, { symbol, hint, ...properties } = {}) {
  const made = make("button", { type: "button", class: "quiet", ...properties });
  made.onclick = action;
  if (symbol) {
    made.append(icon(symbol));
    made.ariaLabel = words;
    made.title = hint ?? words;
  } else {
    made.textContent = words;
    if (hint) made.title = hint;
  }
  return made;
}

/** Puts a text into the clipboard, and says on the button whether that succeeded. */
export async function copy(text, said) {
  const before = said.dataset.words ?? said.ariaLabel ?? said.textContent;
  said.dataset.words = before;
  const done = (await written(text)) ? t("Copied") : t("Not allowed");
  if (said.ariaLabel) said.ariaLabel = said.title = done;
  else said.textContent = done;
  said.dataset.done = "";
  setTimeout(() => {
    if (said.ariaLabel) said.ariaLabel = said.title = before;
    else said.textContent = before;
    delete said.dataset.done;
  }, 1500);
}

async function written(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writtenBySelection(text); // Over plain HTTP, browsers have no clipboard but for the loopback's addresses.
  }
}

function writtenBySelection(text) {
  const focused = document.activeElement;
  const field = make("textarea", { value: text, class: "hidden-label", tabIndex: -1 });
  (focused?.closest("dialog[open]") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  return done;
}

/** Lets the user keep a text as a file. */
export function save(name, text, type) {
  const link = make("a", { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
