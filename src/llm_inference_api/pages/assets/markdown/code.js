// Blocks of code: shown as they come, coloured once they are whole, by a worker, so that no answer stutters for it.

import { button, copy, make } from "../common/dom.js";
import { t } from "../common/words.js";

const LARGEST = 200_000; // Characters of a block that is coloured.
const waiting = new Map(); // Elements of code by the number of their request.
let worker = null;
let requests = 0;

export function codeBlock(token, isOpen) {
  const code = make("code", {}, token.content);
  const name = make("span");
  const action = button(t("Copy"), () => copy(textOf(code), action));
  const block = make(
    "figure",
    { class: "code" },
    make("figcaption", {}, name, action),
    make("pre", { tabIndex: 0 }, code),
  );
  block.code = code;
  update(block, token, isOpen);
  return block;
}

/** Shows the block's new text; returns true, as nothing else of it needs to be made again. */
export function updateCode(block, token, isOpen) {
  update(block, token, isOpen);
  return true;
}

function update(block, token, isOpen) {
  const { code } = block;
  const language = languageOf(token);
  block.querySelector("figcaption span").textContent = language || t("code");
  block.querySelector("pre").ariaLabel = language || t("code");
  const shown = code.firstChild;
  const isText = code.childNodes.length === 1 && shown.nodeType === Node.TEXT_NODE;
  if (isText && token.content.startsWith(shown.data)) shown.appendData(token.content.slice(shown.data.length));
  else if (code.textContent !== token.content) code.replaceChildren(token.content);
  if (!isOpen && language) colour(code, language);
}

const languageOf = ({ info = "" }) => info.trim().split(/\s+/)[0].toLowerCase();
const textOf = (code) => code.textContent.replace(/\n$/, "");

function colour(code, language) {
  const text = code.textContent;
  if (text.length > LARGEST) return;
  worker ??= started();
  waiting.set((requests += 1), { code, text });
  worker.postMessage({ id: requests, language, text });
}

function started() {
  const made = new Worker(new URL("highlight_worker.js", import.meta.url), { type: "module" });
  made.onmessage = ({ data: { id, parts } }) => {
    const { code, text } = waiting.get(id);
    waiting.delete(id);
    if (!parts) return;
    // With what else the frame changes: the next reader of a position would have the whole page laid out for this alone.
    requestAnimationFrame(() => code.textContent === text && code.replaceChildren(...parts.map(nodeOf)));
  };
  return made;
}

function nodeOf(part) {
  return typeof part === "string" ? part : make("span", { class: part.scope }, ...part.children.map(nodeOf));
}
