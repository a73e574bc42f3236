// Formulas, as MathML made by Temml, which is loaded when the first one comes.

import { make } from "../common/dom.js";

let loading = null;

/** Returns an element that shows the formula: as it is written until Temml is there, and where it has an error. */
export function maths(formula, isBlock, written) {
  const element = make(isBlock ? "div" : "span", { class: "math" }, written);
  loading ??= load().catch((error) => {
    loading = null; // The next formula tries again.
    throw error;
  });
  loading.then((temml) => render(temml, element, formula, isBlock)).catch(() => {});
  return element;
}

function render(temml, element, formula, isBlock) {
  const shown = document.createElement("span");
  try {
    temml.render(formula, shown, { displayMode: isBlock, throwOnError: true, annotate: true, maxExpand: 200 });
  } catch {
    return; // It stays as it was written.
  }
  element.replaceChildren(...shown.childNodes);
}

function load() {
  const script = make("script", { src: new URL("../vendor/temml/temml.min.js", import.meta.url) });
  document.head.append(script);
  return new Promise((resolve, reject) => {
    script.onload = () => resolve(globalThis.temml);
    script.onerror = reject;
  });
}
