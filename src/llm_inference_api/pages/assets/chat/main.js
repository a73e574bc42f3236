// The chat page: puts its parts together.

import { Answerings } from "./answerings.js";
import { Composer } from "./composer.js";
import { Conversation, titleOf } from "./conversation.js";
import { showGauge } from "./gauge.js";
import { Health } from "./health.js";
import { ModelPicker } from "./model_picker.js";
import { Models } from "./models.js";
import { Settings, usualSettings } from "./settings.js";
import { bindKeys } from "./shortcuts.js";
import { Sidebar } from "./sidebar.js";
import { Store } from "./store.js";
import { Thread } from "./thread.js";
import { $ } from "../common/dom.js";
import { notice } from "../common/notices.js";
import { t, translate } from "../common/words.js";

translate();

const store = await Store.open();
const health = new Health();
const models = new Models();
const answerings = new Answerings(store, models);
let current; // The conversation that is shown; null for a new chat, undefined at the start.
let settingsOfNew = usualSettings();

const thread = new Thread(
  {
    answerAgain: (message) => answer(message.parent),
    askAgain: (question) => answer(question.id),
    goOn: (message) => run(message),
    edit: (message, text) => ask(text, message.parent),
    showVersion: (message) => change(() => current.show(message)),
    giveResults: (message, results) => {
      message.calls.forEach(({ id, name }, index) =>
        current.add({ role: "tool", call: id, name, content: results[index] }),
      );
      answer(current.record.leaf);
    },
  },
  (conversation) => answerings.of(conversation.id),
);
const composer = new Composer({
  send: (text) => ask(text),
  stop,
  keepDraft,
  editLast: () => thread.editLast(),
});
const settings = new Settings(
  models,
  (changed) => {
    if (current) change(() => (current.record.settings = changed));
    else settingsOfNew = changed;
  },
);
const sidebar = new Sidebar(store, {
  open,
  isAnswering: (id) => Boolean(answerings.of(id)),
  rename: async (id, title) => {
    if (id === current?.id) current.record.title = title;
    await store.change(id, { title });
    showTitle();
  },
  remove: async (id) => {
    answerings.of(id)?.stop();
    await store.remove(id);
    if (id === current?.id) await open(null);
  },
});
new ModelPicker(models, health, (id) => {
  models.choose(id);
  if (current) change(() => (current.record.model = id));
});

// ---- What the user does

async function ask(text, parent = current?.record.leaf ?? null) {
  if (!current) begin(text);
  current.add({ role: "user", content: text }, parent);
  await answer(current.record.leaf);
}

function begin(text) {
  current = Conversation.new(settingsOfNew, models.chosen?.id);
  current.record.title = titleOf(text);
  history.pushState(null, "", `#${current.id}`);
  settings.use(current.record.settings);
  sidebar.mark(current.id);
  showTitle();
}

function answer(parent) {
  return run(current.add({ role: "assistant", end: null, model: models.chosen?.id }, parent));
}

async function run(message) {
  const conversation = current;
  const done = answerings.run(conversation, message);
  show();
  thread.toEnd();
  await done;
  if (conversation === current) show();
  health.ask();
}

function stop() {
  if (current) answerings.of(current.id)?.stop();
}

function change(apply) {
  apply();
  store.save(current);
  show();
}

function keepDraft(text) {
  if (!current) localStorage.draft = text;
  else if (current.record.draft !== text) store.change(current.id, { draft: (current.record.draft = text) });
}

/** Shows a conversation, or a new chat for null. */
async function open(id, { isNew = true } = {}) {
  const isStart = current === undefined;
  if (!isStart) keepDraft(composer.text);
  const found = id ? (answerings.conversation(id) ?? (await store.load(id))) : null;
  if (id && !found) notice(t("This conversation is not on this machine any more."));
  current = found;
  settingsOfNew = usualSettings();
  if (isNew) history.pushState(null, "", current ? `#${current.id}` : location.pathname);
  const typed = isStart ? composer.text : ""; // While the page was loading.
  composer.text = typed || (current ? current.record.draft : localStorage.draft) || "";
  if (current?.record.model) models.choose(current.record.model, { isLasting: false });
  await sidebar.mark(current?.id ?? null);
  show();
  composer.focus();
}

// ---- What is shown

function show() {
  thread.show(current);
  settings.use(current?.record.settings ?? settingsOfNew);
  composer.isBusy = Boolean(current && answerings.of(current.id));
  showGauge(current, models.chosen);
  showTitle();
}

function showTitle() {
  document.title = `${current?.record.title || t("Chat")} – llm-inference-api`;
}

// ---- What happens

answerings.addEventListener("draw", ({ detail }) => detail === current && thread.draw());
models.addEventListener("change", () => showGauge(current, models.chosen));
health.addEventListener("change", () => {
  if (health.state !== "ready") return;
  models.refresh();
  answerings.tryNow();
});
store.addEventListener("change", async ({ detail: { id, fromAnotherTab } }) => {
  if (!fromAnotherTab || id !== current?.id || answerings.of(id)) return;
  const found = await store.load(id);
  if (id !== current?.id) return;
  if (!found) return open(null);
  current = found;
  show();
});
addEventListener("popstate", () => open(location.hash.slice(1) || null, { isNew: false }));
addEventListener("pagehide", () => current !== undefined && keepDraft(composer.text));
$("new-chat").onclick = () => open(null);
for (const suggestion of document.querySelectorAll(".suggestion"))
  suggestion.onclick = () => ask(suggestion.textContent);
bindKeys({
  newChat: () => open(null),
  search: () => sidebar.search(),
  focus: () => composer.focus(),
  stop,
  closeList: () => sidebar.toggle(false),
});

if (!store.isLasting) notice(t("This browser keeps nothing for this page: conversations end with the tab."));
health.start();
await open(location.hash.slice(1) || null, { isNew: false });
models.refresh(false);
document.body.dataset.ready = ""; // All is shown, and what is dropped or pressed is taken.
