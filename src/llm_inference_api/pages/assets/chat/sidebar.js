// The list of conversations: search, rename, delete with undo, export and import.

import { $, button, make, save } from "../common/dom.js";
import { notice } from "../common/notices.js";
import { t, time } from "../common/words.js";
import { Conversation } from "./conversation.js";
import { fromFile, toJson, toMarkdown } from "./transfer.js";

const NARROW = matchMedia("(max-width: 52rem)");

export class Sidebar {
  #current = null;
  #found = null; // Ids that the search has found; null without a search.

  /** `actions`: open(id), isAnswering(id). */
  constructor(store, actions) {
    Object.assign(this, { store, actions });
    store.addEventListener("change", () => this.show());
    $("search").oninput = () => this.#search();
    $("toggle-list").onclick = () => this.toggle();
    $("close-list").onclick = () => this.toggle(false);
    $("export-all").onclick = () => this.#exportAll();
    $("import").onclick = () => $("import-file").click();
    $("import-file").onchange = () => this.#import();
    NARROW.addEventListener("change", () => this.#fit());
    this.#fit();
  }

  /** Marks the conversation as the one that is shown. */
  async mark(id) {
    this.#current = id;
    if (NARROW.matches) this.toggle(false);
    await this.show();
  }

  toggle(isOpen = document.body.dataset.list !== "open") {
    document.body.dataset.list = isOpen ? "open" : "closed";
    $("toggle-list").setAttribute("aria-expanded", String(isOpen));
    $("sidebar").inert = !isOpen;
    const isOver = isOpen && NARROW.matches; // As a dialog is, it stands over the rest, which does not exist meanwhile.
    $("page").inert = isOver;
    $("sidebar").role = isOver ? "dialog" : "complementary";
    $("sidebar").ariaModal = isOver ? "true" : null;
    if (!NARROW.matches) localStorage.list = document.body.dataset.list;
    if (!isOpen && $("sidebar").contains(document.activeElement)) $("toggle-list").focus();
    if (isOpen && NARROW.matches) $("close-list").focus();
  }

  search() {
    this.toggle(true);
    $("search").focus();
    $("search").select();
  }

  async show() {
    const records = (await this.store.list()).filter(({ id }) => !this.#found || this.#found.has(id));
    const rows = new Map([...$("conversations").children].map((row) => [row.dataset.id, row]));
    const wanted = records.map((record) => this.#update(rows.get(record.id) ?? this.#row(record.id), record));
    const focused = document.activeElement;
    if (wanted.some((row, index) => $("conversations").children[index] !== row) || rows.size !== wanted.length)
      $("conversations").replaceChildren(...wanted);
    if (focused !== document.activeElement && focused.isConnected) focused.focus();
    $("no-conversations").hidden = records.length > 0;
    $("no-conversations").textContent = this.#found
      ? t("Nothing found.")
      : t("Conversations are kept on this machine only, in this browser.");
  }

  #fit() {
    this.toggle(!NARROW.matches && localStorage.list !== "closed");
  }

  async #search() {
    const text = $("search").value.trim();
    const found = text ? await this.store.search(text) : null;
    if (text !== $("search").value.trim()) return; // Typed on meanwhile.
    this.#found = found;
    this.show();
  }

  #row(id) {
    const link = make("a", { href: `#${id}` });
    const more = button(t("Actions"), () => this.#openRow(row), { symbol: "icon-more" });
    more.setAttribute("aria-expanded", "false");
    const row = make("li", { data: { id } }, link, more);
    link.onclick = (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return; // To another tab.
      event.preventDefault();
      this.actions.open(id);
    };
    return row;
  }

  #update(row, record) {
    if (row.querySelector("input")) return row; // It is being renamed.
    const [link, more] = row.children;
    const title = record.title || t("New chat");
    if (link.textContent !== title) link.textContent = title;
    link.title = `${title}\n${time(record.updated)}`;
    if (record.id === this.#current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    more.ariaLabel = t("Actions for {title}", { title });
    link.classList.toggle("answering", this.actions.isAnswering(record.id));
    return row;
  }

  #openRow(row) {
    const wasOpen = row.querySelector(".row-actions") !== null;
    for (const shown of $("conversations").querySelectorAll(".row-actions")) this.#closeRow(shown.parentElement);
    if (wasOpen) return;
    row.children[1].setAttribute("aria-expanded", "true");
    const { id } = row.dataset;
    const act = (words, run, more) => button(words, () => (this.#closeRow(row), run()), more);
    row.append(
      make(
        "div",
        { class: "row-actions" },
        button(t("Rename"), () => this.#rename(row)),
        act(t("Delete"), () => this.#remove(id)),
        act("Markdown", () => this.#export(id, "md"), { hint: t("Export as Markdown") }),
        act("JSON", () => this.#export(id, "json"), { hint: t("Export as JSON") }),
      ),
    );
  }

  #closeRow(row) {
    row.querySelector(".row-actions")?.remove();
    row.children[1].setAttribute("aria-expanded", "false");
  }

  #rename(row) {
    const [link] = row.children;
    const field = make("input", { value: link.textContent, maxLength: 200, aria: { label: t("Title") } });
    const end = async (keeps) => {
      field.onblur = null;
      field.replaceWith(link);
      link.hidden = false;
      this.#closeRow(row);
      if (keeps && field.value.trim()) await this.actions.rename(row.dataset.id, field.value.trim());
      link.focus();
    };
    field.onkeydown = (event) => {
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") (event.stopPropagation(), end(false));
    };
    field.onblur = () => end(true);
    link.replaceWith(field);
    field.select();
  }

  async #remove(id) {
    const { title } = (await this.store.list()).find((record) => record.id === id) ?? {};
    await this.actions.remove(id);
    notice(t("“{title}” was deleted.", { title }), t("Undo"), () => this.store.restore(id));
  }

  async #export(id, kind) {
    const conversation = await this.store.load(id);
    const name = (conversation.record.title || "chat")
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 60);
    if (kind === "md") save(`${name}.md`, toMarkdown(conversation), "text/markdown");
    else save(`${name}.json`, toJson([conversation]), "application/json");
  }

  async #exportAll() {
    const all = await Promise.all((await this.store.list()).map(({ id }) => this.store.load(id)));
    save("conversations.json", toJson(all.filter(Boolean)), "application/json");
  }

  async #import() {
    for (const file of $("import-file").files) {
      try {
        const found = fromFile(await file.text());
        for (const { record, messages } of found)
          await this.store.save(new Conversation(record, messages), ...messages);
        notice(
          found.length === 1
            ? t("1 conversation was imported.")
            : t("{n} conversations were imported.", { n: found.length }),
        );
      } catch (error) {
        notice(`${file.name}: ${error.message}`);
      }
    }
    $("import-file").value = "";
  }
}
