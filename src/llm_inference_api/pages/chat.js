// The chat page: a conversation with one of the service's models, over POST /api/chat/stream.
// Model output is inserted as text only, never as HTML.

const $ = (id) => document.getElementById(id);
const PARAMETERS = ["temperature", "top_p", "max_tokens", "seed"];
const STATES = {
  UNLOADED: "not loaded yet",
  DOWNLOADING: "downloading",
  CONVERTING: "converting",
  QUANTIZING: "quantizing",
  LOADING: "loading",
  ACTIVE: "ready",
  UNLOADING: "unloading",
  FAILED: "failed",
};
const RETRY_AFTER = 2000; // Milliseconds between polls of a service that is not ready.
const COMPLETE = "The answer is complete.";

let models = [];
let turns = JSON.parse(sessionStorage.getItem("turns") ?? "[]"); // Messages of the API: {role, content}.
let running = null; // AbortController of the answer that is being streamed.

// ---- The service

class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function call(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The service cannot be reached. Is it running?", 0);
  }
  if (!answer.ok) throw new Failure(await wordsOf(answer), answer.status);
  return answer;
}

async function wordsOf(answer) {
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) return "This service asks for an API key, or does not know the one that it was given.";
  if (answer.status === 503 && /upstream/.test(said.message ?? "")) return "The service is not ready yet.";
  return said.message || `The service answered with status ${answer.status}.`;
}

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await next(reader); !part.done; part = await next(reader)) {
    const whole = (rest + part.value).split("\n\n");
    rest = whole.pop();
    for (const event of whole) yield JSON.parse(event.replace(/^data: /, ""));
  }
}

async function next(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { done: true }; // Connection lost; reported by the caller as an incomplete answer.
  }
}

// ---- Models

async function showModels() {
  try {
    models = (await (await call("/api/llms")).json()).models;
  } catch (failure) {
    if (failure.status === 401) askForKey(failure);
    else setTimeout(showModels, RETRY_AFTER, say(failure.message));
    return;
  }
  if (/^The service/.test($("status").textContent)) say("");
  const wanted = $("model").value || localStorage.getItem("model");
  $("model").replaceChildren(...models.map(optionOf));
  if (models.some(({ id }) => id === wanted)) $("model").value = wanted;
  showState();
  if (models.some(({ state }) => /ING$/.test(state))) setTimeout(showModels, RETRY_AFTER);
}

function optionOf({ id, info }) {
  const option = new Option(id, id);
  option.disabled = info?.generates === false; // It computes embeddings only.
  return option;
}

function showState() {
  const model = models.find(({ id }) => id === $("model").value);
  $("model-state").textContent = model ? STATES[model.state] : "";
  $("model-state").dataset.state = model?.state ?? "";
  $("model-state").title = model?.reason ?? "";
}

// ---- The conversation

function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

function addTurn({ role, content }) {
  const turn = $("turn").content.firstElementChild.cloneNode(true);
  turn.classList.add(role);
  turn.querySelector("h2").textContent = role === "user" ? "You" : "Answer";
  if (role === "user") turn.querySelector(".text").textContent = content;
  else if (content) show(turn, content);
  turn.querySelector(".copy").onclick = (event) => copy(turn.dataset.content ?? "", event.target);
  turn.querySelector(".again").onclick = answerAgain;
  $("conversation").append(turn);
  $("welcome").hidden = true;
  return turn;
}

function show(turn, content) {
  turn.dataset.content = content;
  turn.querySelector(".text").replaceChildren(...blocks(content));
  turn.querySelector("footer").hidden = turn.ariaBusy === "true";
}

function showAll() {
  $("conversation").replaceChildren();
  turns.forEach(addTurn);
  $("welcome").hidden = turns.length > 0;
}

function keep() {
  sessionStorage.setItem("turns", JSON.stringify(turns));
}

function requestBody() {
  const body = { messages: [...turns] };
  const system = localStorage.getItem("system");
  if (system) body.messages.unshift({ role: "system", content: system });
  if ($("model").value) body.model = $("model").value;
  for (const name of PARAMETERS) {
    const value = localStorage.getItem(name);
    if (value) body[name] = Number(value);
  }
  return body;
}

async function ask(content) {
  turns.push({ role: "user", content });
  keep();
  addTurn(turns.at(-1));
  await answer();
}

async function answerAgain() {
  if (running) return;
  while (turns.at(-1)?.role === "assistant") turns.pop();
  showAll();
  await answer();
}

async function answer() {
  const turn = addTurn({ role: "assistant", content: "" });
  const conversation = turns; // A new chat may start before this answer ends.
  begin(turn);
  const said = { content: "", thoughts: "", finish: null, usage: null, begun: performance.now() };
  try {
    const options = { method: "POST", body: JSON.stringify(requestBody()), signal: running.signal };
    await read(turn, said, await call("/api/chat/stream", options));
    if (!said.finish) throw new Failure("The answer was cut off on its way.", 0);
    say(said.finish === "LENGTH" ? "The answer reached its longest length and was cut." : COMPLETE);
  } catch (failure) {
    if (failure.name === "AbortError") say(conversation === turns ? "Stopped." : "");
    else fail(failure);
  }
  end(turn, said, conversation);
}

async function read(turn, said, response) {
  for await (const event of events(response)) {
    if (event.error) throw new Failure(event.error.message, 0);
    if (event.progress) wait(turn, wordsOfProgress(event.progress));
    if (event.delta) add(turn, said, event.delta);
    said.finish = event.finish_reason ?? said.finish;
    said.usage = event.usage ?? said.usage;
  }
}

function add(turn, said, delta) {
  said.content += delta.content ?? "";
  said.thoughts += delta.reasoning_content ?? "";
  if (said.frame || !(said.content || said.thoughts)) return;
  // At most once per animation frame.
  said.frame = requestAnimationFrame(() => {
    said.frame = 0;
    draw(turn, said);
  });
}

function draw(turn, said) {
  const follow = isAtEnd();
  if (running) wait(turn, said.content ? "" : "Thinking…");
  turn.querySelector(".thoughts").hidden = !said.thoughts;
  turn.querySelector(".thoughts div").textContent = said.thoughts;
  if (said.content) show(turn, said.content);
  if (follow) toEnd();
}

function begin(turn) {
  running = new AbortController();
  $("conversation").querySelectorAll(".failure").forEach((failure) => failure.remove());
  turn.ariaBusy = "true"; // Screen readers read it once it is complete.
  wait(turn, "Waiting for the model…");
  $("send").hidden = true;
  $("stop").hidden = false;
  toEnd();
}

function end(turn, said, conversation) {
  cancelAnimationFrame(said.frame);
  running = null;
  turn.ariaBusy = "false";
  draw(turn, said);
  wait(turn, "");
  if (said.content) conversation.push({ role: "assistant", content: said.content });
  else if (!said.thoughts) turn.remove();
  keep();
  turn.querySelector(".figures").textContent = figures(said);
  $("send").hidden = false;
  $("stop").hidden = true;
  if (document.activeElement === document.body) $("prompt").focus();
  setTimeout(() => $("status").textContent === COMPLETE && say(""), 4000);
  showModels();
}

function figures({ usage, begun }) {
  if (!usage) return "";
  const tokens = usage.completion_tokens;
  const taken = performance.now() - begun;
  const time = taken < 1000 ? `${Math.round(taken)} ms` : `${(taken / 1000).toFixed(1)} s`;
  return `${tokens} token${tokens === 1 ? "" : "s"} in ${time}`;
}

function wait(turn, words) {
  const waiting = turn.querySelector(".waiting");
  waiting.hidden = !words;
  waiting.textContent = words;
  if (words) say(words);
}

function wordsOfProgress({ stage, requests_ahead: ahead, prompt_tokens: all, computed_tokens: done }) {
  if (stage === "LOADING") return "The model is being loaded…";
  if (stage === "QUEUED") return ahead ? `${ahead} request${ahead > 1 ? "s" : ""} before yours…` : "Yours is next…";
  return all ? `Reading: ${Math.floor((100 * (done ?? 0)) / all)} %` : "Reading…";
}

function askForKey(failure) {
  if (document.querySelector(".failure")) return;
  $("welcome").hidden = true;
  fail(failure).querySelector(".retry").remove();
}

function fail({ message, status }) {
  const block = $("failure").content.firstElementChild.cloneNode(true);
  block.querySelector("p").textContent = message;
  block.querySelector(".retry").onclick = answerAgain;
  block.querySelector(".enter-key").hidden = status !== 401;
  block.querySelector(".enter-key").onclick = () => openSettings("key");
  $("conversation").append(block);
  say("");
  toEnd();
  return block;
}

function isAtEnd() {
  const main = document.querySelector("main");
  return main.scrollHeight - main.scrollTop - main.clientHeight < 60;
}

function toEnd() {
  const main = document.querySelector("main");
  main.scrollTop = main.scrollHeight;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed"; // Browsers allow clipboard access on https and localhost only.
  }
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

// ---- The subset of Markdown that models use in chats

const LINE_KINDS = [
  [/^#{1,6} +(.*)/, "h3", null],
  [/^\s*[-*+] +(.*)/, "li", "ul"],
  [/^\s*\d+[.)] +(.*)/, "li", "ol"],
  [/^> ?(.*)/, "p", "blockquote"],
];
const MARKS = /(`+)(.+?)\1|(\*\*|__)(\S.*?)\3|\*(\S[^*]*)\*/s;

function blocks(text) {
  const found = [];
  let paragraph = [];
  const close = () => {
    if (paragraph.length) found.push(element("p", inline(paragraph.join("\n"))));
    paragraph = [];
  };
  const lines = text.split("\n");
  while (lines.length) {
    const line = lines.shift();
    const fence = line.match(/^\s*(```+|~~~+)\s*([\w+#.-]*)/);
    const kind = LINE_KINDS.find(([pattern]) => pattern.test(line));
    if (fence || kind || !line.trim()) close();
    if (fence) found.push(codeBlock(fence[2], untilFence(lines, fence[1])));
    else if (kind) addLine(found, kind, line);
    else if (line.trim()) paragraph.push(line);
  }
  close();
  return found;
}

function addLine(found, [pattern, tag, parent], line) {
  const item = element(tag, inline(line.match(pattern)[1]));
  const last = found.at(-1);
  if (!parent) found.push(item);
  else if (last?.localName === parent) last.append(item);
  else found.push(element(parent, [item], tag === "li" && parent === "ol" ? { start: parseInt(line, 10) } : {}));
}

function untilFence(lines, fence) {
  const code = [];
  while (lines.length) {
    const line = lines.shift();
    if (line.trim().startsWith(fence)) break;
    code.push(line);
  }
  return code.join("\n");
}

function codeBlock(language, code) {
  const block = $("code").content.firstElementChild.cloneNode(true);
  block.querySelector("span").textContent = language || "text";
  block.querySelector("code").textContent = code;
  block.querySelector(".copy").onclick = (event) => copy(code, event.target);
  return block;
}

function inline(text) {
  const nodes = [];
  for (let match = text.match(MARKS); match; match = text.match(MARKS)) {
    nodes.push(...broken(text.slice(0, match.index)));
    if (match[1]) nodes.push(element("code", [match[2].trim()]));
    else if (match[3]) nodes.push(element("strong", inline(match[4])));
    else nodes.push(element("em", inline(match[5])));
    text = text.slice(match.index + match[0].length);
  }
  return [...nodes, ...broken(text)];
}

function broken(text) {
  return text.split("\n").flatMap((line, index) => (index ? [document.createElement("br"), line] : [line]));
}

function element(tag, children, properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// ---- Settings

function openSettings(field) {
  for (const name of ["system", ...PARAMETERS]) $(name).value = localStorage.getItem(name) ?? "";
  $("key").value = sessionStorage.getItem("key") ?? "";
  $("settings").showModal();
  $(field).focus();
}

function keepSettings() {
  for (const name of ["system", ...PARAMETERS]) localStorage.setItem(name, $(name).value.trim());
  sessionStorage.setItem("key", $("key").value.trim());
  if (!turns.length) showAll(); // Removes the error about a missing key.
  showModels();
}

// ---- Event handlers

function fit() {
  $("prompt").style.height = "auto";
  $("prompt").style.height = `${$("prompt").scrollHeight}px`;
  $("send").disabled = !$("prompt").value.trim();
}

function send() {
  const content = $("prompt").value.trim();
  if (!content || running) return;
  $("prompt").value = "";
  fit();
  ask(content);
}

$("composer").onsubmit = (event) => {
  event.preventDefault();
  send();
};
$("prompt").oninput = fit;
$("prompt").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
};
$("stop").onclick = () => {
  running?.abort();
  $("prompt").focus();
};
document.onkeydown = (event) => {
  if (event.key === "Escape" && running && !$("settings").open) $("stop").click();
};
$("new-chat").onclick = () => {
  running?.abort();
  turns = [];
  keep();
  showAll();
  say("");
  $("prompt").focus();
};
$("open-settings").onclick = () => openSettings("system");
$("reset-settings").onclick = () => $("settings").querySelector("form").reset();
$("settings").querySelector("form").onsubmit = keepSettings;
$("model").onchange = () => {
  localStorage.setItem("model", $("model").value);
  showState();
};
document.querySelectorAll(".suggestion").forEach((button) => {
  button.onclick = () => {
    $("prompt").value = button.textContent;
    send();
    $("prompt").focus();
  };
});

showAll();
if (turns.at(-1)?.role === "user") fail({ message: "The answer was not finished." });
showModels();
fit();
