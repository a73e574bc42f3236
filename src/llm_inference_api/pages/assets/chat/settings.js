// The dialog of a conversation's settings: fields by the API's description, kept as they are typed.

import { $, make } from "../common/dom.js";
import { explain } from "../common/service.js";
import { number, t } from "../common/words.js";
import { countOf, lines, parameters, toolsOf } from "./parameters.js";

/** Returns the settings that new chats begin with. */
export function usualSettings() {
  try {
    return JSON.parse(localStorage.settings ?? "{}");
  } catch {
    return {};
  }
}

export class Settings {
  #settings = {};
  #fields = []; // {parameter, field, hint}

  /** `onchange` is called with each new state of the settings; `models` has the chosen model and the defaults. */
  constructor(models, onchange) {
    Object.assign(this, { models, onchange });
    $("open-settings").onclick = () => this.open();
    $("set").onclick = () => this.open();
    $("reset-settings").onclick = () => this.#change({}, true);
    $("keep-settings").onclick = () => this.#keepAsUsual();
    for (const [id, name] of [
      ["system", "system"],
      ["tools", "tools"],
    ])
      $(id).oninput = () => this.#set(name, $(id).value);
    for (const id of ["thinking", "effort"]) $(id).onchange = () => this.#set(id, $(id).value);
    $("form-kind").onchange = $("form-text").oninput = () => this.#setForm();
  }

  /** Shows the settings' sign beside the field, and lets the dialog change them. */
  use(settings) {
    this.#settings = settings ?? {};
    this.#showSign();
  }

  async open(field = "system") {
    this.#fill();
    $("settings").showModal();
    $(field).focus();
    try {
      this.#build(await parameters());
      $("parameters-problem").textContent = "";
    } catch (failure) {
      $("parameters-problem").textContent = t("The parameters are not known: {why}", { why: explain(failure) });
    }
    this.#fill();
  }

  #build(found) {
    if (this.#fields.length) return;
    for (const parameter of found)
      $(parameter.isFirst ? "first-parameters" : "more-parameters").append(this.#field(parameter));
  }

  #field(parameter) {
    const { name, words } = parameter;
    const hint = make("span", { class: "hint", id: `parameter-${name}-hint` });
    const field = controlOf(parameter);
    this.#fields.push({ parameter, field, hint });
    field.oninput = () => this.#setParameter(parameter, field);
    return make(
      "div",
      { class: "parameter", title: words },
      make("label", { htmlFor: `parameter-${name}` }, labelOf(name)),
      field,
      hint,
    );
  }

  #setParameter({ name, kind }, field) {
    if (!field.validity.valid) return;
    const values = { ...this.#settings.values };
    if (field.value.trim() === "") delete values[name];
    else values[name] = valueOf(kind, field.value);
    this.#set("values", values);
  }

  #setForm() {
    const kind = $("form-kind").value;
    $("form-text").parentElement.hidden = !kind || kind === "json_object";
    this.#set("form", kind ? { kind, text: $("form-text").value } : undefined);
  }

  #set(name, value) {
    const { [name]: _, ...others } = this.#settings;
    this.#change(value ? { ...others, [name]: value } : others);
  }

  #change(settings, fills = false) {
    this.#settings = settings;
    this.onchange(settings);
    this.#showSign();
    this.#check();
    if (fills) this.#fill();
  }

  #check() {
    $("tools").setCustomValidity(toolsProblem($("tools").value));
    $("form-text").setCustomValidity(formProblem($("form-kind").value, $("form-text").value));
  }

  #fill() {
    const { system = "", values = {}, form, tools = "", thinking = "", effort = "" } = this.#settings;
    $("system").value = system;
    $("tools").value = tools;
    $("form-kind").value = form?.kind ?? "";
    $("form-text").value = form?.text ?? "";
    $("form-text").parentElement.hidden = !form?.kind || form.kind === "json_object";
    for (const { parameter, field, hint } of this.#fields) {
      field.value = [values[parameter.name] ?? ""].flat().join("\n");
      this.#showDefault(parameter, field, hint);
    }
    const options = this.models.chosen?.info?.thinking;
    $("thinking").parentElement.hidden = !options?.can_be_off && !thinking;
    $("thinking").value = thinking;
    $("effort").parentElement.hidden = !options?.efforts?.length;
    $("effort").replaceChildren(
      new Option(t("As the model does by itself"), ""),
      ...(options?.efforts ?? []).map((effort) => new Option(effort, effort)),
    );
    $("effort").value = effort;
    this.#check();
  }

  /** Shows what the service itself takes, which its settings may have changed since the dialog was last open. */
  #showDefault(parameter, field, hint) {
    const { defaults } = this.models;
    const { name } = parameter;
    if (name in defaults) field.placeholder = String(defaults[name]);
    else if (name === "seed" && "max_tokens" in defaults) field.placeholder = t("random");
    const most = defaults[`${name}_limit`];
    hint.textContent = [hintOf(parameter), most ? t("At most {n} here.", { n: number(most) }) : ""].join(" ").trim();
  }

  #showSign() {
    const count = countOf(this.#settings);
    $("set").hidden = !count;
    const words = this.#settings.system ? [t("System prompt")] : [];
    const others = count - words.length;
    if (others) words.push(others === 1 ? t("1 setting") : t("{n} settings", { n: others }));
    $("set").textContent = words.join(" + ");
    $("set").title = this.#settings.system ?? "";
  }

  #keepAsUsual() {
    localStorage.settings = JSON.stringify(this.#settings);
    $("settings-said").textContent = t("New chats begin with these settings.");
    setTimeout(() => ($("settings-said").textContent = ""), 4000);
  }
}

function controlOf({ name, kind, least, most, isAbove, usual, items }) {
  const shared = {
    id: `parameter-${name}`,
    aria: { describedby: `parameter-${name}-hint` },
    data: { parameter: name },
  };
  if (kind === "boolean") {
    return make(
      "select",
      shared,
      new Option(t("default ({value})", { value: usual }), ""),
      new Option(t("yes"), "true"),
      new Option(t("no"), "false"),
    );
  }
  if (kind === "list")
    return make("textarea", { ...shared, rows: 2, placeholder: t("one a line, at most {n}", { n: items }) });
  const field = make("input", {
    ...shared,
    type: "number",
    step: kind === "integer" ? "1" : "any",
    inputMode: kind === "integer" ? "numeric" : "decimal",
  });
  if (least !== undefined) field.min = isAbove ? least + 1e-6 : least;
  if (most !== undefined) field.max = most;
  if (usual) field.placeholder = usual;
  return field;
}

function valueOf(kind, text) {
  if (kind === "boolean") return text === "true";
  if (kind === "list") return lines(text);
  return Number(text);
}

function rangeOf({ least, most, isBounded, isAbove, kind }) {
  if (kind === "boolean" || kind === "list" || least === undefined) return "";
  const from = isAbove ? t("above {n}", { n: number(least) }) : number(least);
  return isBounded ? t("{from} to {to}.", { from, to: number(most) }) : t("From {from}.", { from });
}

const labelOf = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

/** Returns the first sentence about a parameter, behind its range where the sentence does not say it. */
function hintOf(parameter) {
  const sentence = sentenceOf(parameter.words);
  return /\b(from|at least)\b/.test(sentence) ? sentence : `${rangeOf(parameter)} ${sentence}`.trim();
}

const sentenceOf = (words) => /^.*?[.;:](?=\s|$)/s.exec(words)?.[0].replace(/[;:]$/, ".") ?? words;

function toolsProblem(text) {
  try {
    if (text.trim()) toolsOf(text);
    return "";
  } catch {
    return t("This must be JSON: a list of tools, each with a name, a description and parameters.");
  }
}

function formProblem(kind, text) {
  if (!kind || kind === "json_object") return "";
  if (!text.trim()) return t("Say what answers may be.");
  if (kind !== "json_schema") return "";
  try {
    JSON.parse(text);
    return "";
  } catch {
    return t("This must be JSON.");
  }
}
