// The field for the next question: its draft, files put into it, and the buttons to send and to stop.

import { $ } from "../common/dom.js";
import { notice } from "../common/notices.js";
import { bytes, t } from "../common/words.js";

const LARGEST = 500_000; // Bytes of a file; a request has at most 4 MiB, and few models read so much.
const PAUSE = 300; // Milliseconds without a key until the draft is kept.

export class Composer {
  #field = $("prompt");
  #timer = 0;
  #isBusy = false;

  /** `actions`: send(text), stop(), keepDraft(text), editLast(). */
  constructor(actions) {
    this.actions = actions;
    this.#field.oninput = () => this.#changed();
    this.#field.onkeydown = (event) => this.#key(event);
    $("composer").onsubmit = (event) => (event.preventDefault(), this.#send());
    $("stop").onclick = () => (actions.stop(), this.focus());
    $("attach").onclick = () => $("files").click();
    $("files").onchange = () => this.#put([...$("files").files]).then(() => ($("files").value = ""));
    this.#takeFiles();
  }

  get text() {
    return this.#field.value;
  }

  /** Shows a draft. */
  set text(text) {
    clearTimeout(this.#timer);
    this.#field.value = text;
    this.#fit();
  }

  /** Whether an answer is being written, which can be stopped. */
  set isBusy(isBusy) {
    this.#isBusy = isBusy;
    const hadFocus = document.activeElement === $("stop") || document.activeElement === $("send");
    $("send").hidden = isBusy;
    $("stop").hidden = !isBusy;
    if (hadFocus) this.focus();
    this.#fit();
  }

  focus() {
    this.#field.focus();
  }

  #send() {
    const text = this.#field.value.trim();
    if (!text || this.#isBusy) return;
    this.text = "";
    this.actions.keepDraft("");
    this.actions.send(text);
  }

  #key(event) {
    if (event.key === "ArrowUp" && !this.#field.value) {
      event.preventDefault();
      this.actions.editLast();
    }
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#send();
  }

  #changed() {
    this.#fit();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.actions.keepDraft(this.#field.value), PAUSE);
  }

  #fit() {
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight}px`;
    $("send").disabled = !this.#field.value.trim();
  }

  #takeFiles() {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      document.body.classList.add("dropping");
    });
    for (const name of ["dragleave", "drop"]) addEventListener(name, () => document.body.classList.remove("dropping"));
    addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.#put([...event.dataTransfer.files]);
    });
    this.#field.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      this.#put(files);
    });
  }

  /** Puts the files' texts into the field, where they are seen and can be changed before they are sent. */
  async #put(files) {
    for (const file of files) {
      const text = await textOf(file);
      if (text === null)
        notice(t("{name} is no text, or larger than {most}.", { name: file.name, most: bytes(LARGEST) }));
      else this.#insert(file.name, text);
    }
    this.#changed();
    this.focus();
  }

  #insert(name, text) {
    const fence = "`".repeat(Math.max(3, ...(text.match(/`+/g) ?? []).map((ticks) => ticks.length + 1)));
    const ending = /\.(\w+)$/.exec(name)?.[1] ?? "";
    const before = this.#field.value.trimEnd();
    this.#field.value = `${before}${before ? "\n\n" : ""}${name}:\n${fence}${ending}\n${text.replace(/\n$/, "")}\n${fence}\n`;
  }
}

async function textOf(file) {
  if (file.size > LARGEST) return null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}
