// Keys of the whole page; those of a field are where the field is.

import { $ } from "../common/dom.js";

const isTyping = (element) => element.matches?.("input, textarea, select, [contenteditable]");

/** `actions`: newChat, search, focus, stop, closeList. */
export function bindKeys(actions) {
  $("open-keys").onclick = () => $("keys").showModal();
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const run = actionOf(event, actions);
    if (!run) return;
    if (event.key !== "Escape") event.preventDefault();
    run();
  });
}

function actionOf(event, actions) {
  const name = nameOf(event);
  if (name === "Control+Shift+o") return actions.newChat;
  if (name === "Control+k") return actions.search;
  if (name === "Escape" && $("page").inert) return actions.closeList;
  if (name === "Escape") return isTyping(event.target) && event.target.id !== "prompt" ? null : actions.stop;
  if (isTyping(event.target) || event.altKey) return null;
  if (name === "/") return actions.focus;
  return name === "?" ? () => $("keys").showModal() : null;
}

/** Returns the key's name, with its modifiers where they make it another one. */
function nameOf({ key, ctrlKey, metaKey, shiftKey }) {
  if (key.length > 1) return key;
  if (!ctrlKey && !metaKey) return key;
  return `Control+${shiftKey ? "Shift+" : ""}${key.toLowerCase()}`;
}
