// The pages' words: English in the code, German where the browser prefers it.

const LANGUAGE = /^de\b/i.test(navigator.language) ? "de" : "en";
const GERMAN = LANGUAGE === "de" ? (await import("./german.js")).GERMAN : {};
const NUMBERS = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: 1 });
const TIMES = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "medium", timeStyle: "short" });
const TRANSLATED = ["title", "placeholder", "aria-label"];

/** Returns the text in the user's language, with `{name}` replaced by the value of that name. */
export function t(text, values = {}) {
  return (GERMAN[text] ?? text).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Translates the texts of the document, templates included. */
export function translate(root = document) {
  if (root === document) document.documentElement.lang = LANGUAGE;
  if (LANGUAGE === "en") return;
  if (root === document) document.title = t(document.title);
  const texts = document.createTreeWalker(root.body ?? root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const words = texts.currentNode.data.trim();
    if (words) texts.currentNode.data = texts.currentNode.data.replace(words, () => t(words.replace(/\s+/g, " ")));
  }
  for (const name of TRANSLATED) {
    for (const element of root.querySelectorAll(`[${name}]`)) element.setAttribute(name, t(element.getAttribute(name)));
  }
  root.querySelectorAll("template").forEach((template) => translate(template.content));
}

export const number = (value) => NUMBERS.format(value);
export const time = (milliseconds) => TIMES.format(milliseconds);

/** Returns a number of bytes in the unit that fits. */
export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let rest = value;
  let unit = 0;
  for (; rest >= 1000 && unit < units.length - 1; unit += 1) rest /= 1000;
  return `${number(rest)} ${units[unit]}`;
}

/** Returns a duration in the unit that fits. */
export function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${number(milliseconds / 1000)} s`;
  return `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
}

export const tokens = (count) => (count === 1 ? t("1 token") : t("{n} tokens", { n: number(count) }));
