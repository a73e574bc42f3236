// The status page: what the service's metrics say now, and said in the last minutes.

import { $, make } from "../common/dom.js";
import { call, explain } from "../common/service.js";
import { bytes, duration, number, t, translate } from "../common/words.js";
import { STATES } from "../common/states.js";
import { Chart } from "./chart.js";
import { Sample } from "./sample.js";

const INTERVAL = 2000; // Milliseconds.
const CHARTS = [
  ["Generated tokens per second", (now, before) => now.rate(before, "completion_tokens_total"), number],
  ["Prompt tokens per second", (now, before) => now.rate(before, "prompt_tokens_total"), number],
  ["Running", (now) => now.sum("requests_running"), number],
  ["Waiting", (now) => now.sum("requests_waiting"), number],
  [
    "Time to the first token",
    (now, before) => now.mean(before, "time_to_first_token_seconds"),
    (seconds) => duration(1000 * seconds),
  ],
  ["Cache in use", (now) => now.share("kv_cells_used", "kv_cells"), percent],
  [
    "Prompt tokens from the cache",
    (now, before) => now.shareOf(before, "cached_tokens_total", "prompt_tokens_total"),
    percent,
  ],
  [
    "Failures and refusals per minute",
    (now, before) => 60 * (now.rate(before, "failures_total") + now.rate(before, "rejected_total")),
    number,
  ],
].map(([words, read, say]) => ({ read, chart: new Chart($("charts"), t(words), say) }));

let before = null;
let timer = 0;

translate();
document.addEventListener("visibilitychange", () => document.hidden || look());
look();

async function look(quiet = before !== null) {
  clearTimeout(timer);
  try {
    const [metrics, models] = await Promise.all([call("/metrics", { quiet }), call("/api/llms", { quiet })]);
    show(new Sample(await metrics.text(), performance.now()), (await models.json()).models ?? []);
  } catch (failure) {
    say("AWAY", t("not reached, trying again"));
    $("problem").textContent = explain(failure);
    before = null;
  }
  if (!document.hidden) timer = setTimeout(() => look(true), INTERVAL);
}

function say(state, words) {
  $("service-state").dataset.state = state;
  if ($("service-state").textContent !== words) $("service-state").textContent = words;
}

function show(now, models) {
  $("problem").textContent = "";
  const isDraining = now.sum("draining") > 0;
  say(isDraining ? "UNLOADING" : "ACTIVE", t(isDraining ? "stopping" : "ready"));
  for (const { read, chart } of CHARTS) chart.add(before || read.length < 2 ? read(now, before) : 0);
  $("models").replaceChildren(...models.map((model) => rowOf(model, now)));
  const version = now.labels("build_info").version ?? "";
  const since = Date.now() / 1000 - now.sum("process_start_time_seconds");
  $("facts").textContent = [
    t("Version {version}", { version }),
    t("runs for {time}", { time: ages(since) }),
    t("{n} calls", { n: number(now.sum("rpcs_total")) }),
    t("{n} crashes of models", { n: number(now.sum("worker_crashes_total")) }),
  ].join(" · ");
  before = now;
}

function rowOf({ id, state, reason = "", progress }, now) {
  const of = { model: id };
  const all = now.sum("kv_cells", of);
  const used = now.sum("kv_cells_used", of);
  const share = progress?.total ? ` ${percent((progress.done ?? 0) / progress.total)}` : "";
  const words = make(
    "span",
    { class: "model-state", title: reason, data: { state } },
    `${t(STATES[state] ?? state)}${share}`,
  );
  const gauge = make("meter", {
    max: all || 1,
    value: used,
    high: 0.9 * all,
    optimum: 0,
    aria: { label: t("Cache of {id}", { id }) },
  });
  const cache = make(
    "td",
    {},
    ...(all ? [gauge, ` ${t("{n} of {all} tokens", { n: number(used), all: number(all) })}`] : [""]),
  );
  const cells = [
    words,
    all
      ? `${number(now.sum("requests_running", of))} / ${number(now.sum("slots", of))}`
      : number(now.sum("requests_running", of)),
    number(now.sum("requests_waiting", of)),
  ].map((content) => make("td", {}, content));
  const after = [
    before ? number(now.rate(before, "completion_tokens_total", of)) : "",
    now.sum("prefix_store_tokens", of) ? t("{n} tokens", { n: number(now.sum("prefix_store_tokens", of)) }) : "",
    now.sum("model_memory_bytes", of) ? bytes(now.sum("model_memory_bytes", of)) : "",
  ].map((content) => make("td", {}, content));
  return make("tr", { data: { id } }, make("th", { scope: "row" }, id), ...cells, cache, ...after);
}

function percent(share) {
  return `${number(100 * share)} %`;
}

function ages(seconds) {
  if (seconds < 3600) return duration(1000 * seconds);
  if (seconds < 86_400) return t("{n} h", { n: number(seconds / 3600) });
  return t("{n} days", { n: number(seconds / 86_400) });
}
