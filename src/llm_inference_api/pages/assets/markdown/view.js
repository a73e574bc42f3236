// Shows a Markdown text that grows: only what has changed is rendered again, and what is closed never is.

import { blocks } from "./parsing.js";
import { reconcile } from "./rendering.js";

// A last line that may yet become a heading, a list, a rule, a fence or a table.
const UNDECIDED = /(?:^|\n)[ >]*(?:[-+*=_#~`|:\s]{0,8}|\d{1,9}[.)]?|\|[^\n]*(?:\n[|\s:-]*)?)$/;
const MARKS = [/(?<!\*)\*\*(?!\*)/g, /(?<![`\\])`(?!`)/g];

export class MarkdownView {
  #element;
  #text = "";
  #references = {}; // Definitions of links, which may stand anywhere in the text.
  #closed = 0; // Characters of the text that blocks before the last one have.
  #children = 0; // Elements of these blocks.

  constructor(element) {
    this.#element = element;
  }

  /** Shows the text; `isWhole` where no more will come. */
  show(text, isWhole) {
    const clean = text.replace(/\r\n?/g, "\n").replace(/\0/g, "\uFFFD");
    if (!clean.startsWith(this.#text)) this.#restart();
    this.#text = clean;
    const rest = clean.slice(this.#closed);
    const code = isWhole ? null : openCode(rest);
    const shown = isWhole || code ? rest : tidy(rest);
    const env = { references: { ...this.#references } };
    const found = code ? [code] : blocks(shown, env);
    if (isWhole && this.#children && Object.keys(env.references).length) {
      this.#restart(); // Blocks that are closed may name a link that was defined behind them.
      return this.show(text, true);
    }
    reconcile(this.#element, found, this.#children, { env, isWhole });
    if (!isWhole && found.length > 1) this.#close(found, shown, env.references);
  }

  #restart() {
    this.#element.replaceChildren();
    this.#references = {};
    this.#closed = this.#children = 0;
  }

  #close(found, shown, references) {
    this.#references = references;
    let at = 0;
    for (let line = found.at(-1).first; line > 0; line -= 1) at = shown.indexOf("\n", at) + 1;
    this.#closed += at;
    this.#children += found.length - 1;
  }
}

const FENCE = /^(`{3,}|~{3,})([^`\n]*)\n/;

/** Returns the block of a text that is code so far, which need not be parsed to be shown; null for other texts. */
function openCode(text) {
  const [opening, fence, info] = FENCE.exec(text) ?? [];
  if (!opening || text.slice(opening.length).search(new RegExp(`^ {0,3}${fence[0]}{${fence.length},}`, "m")) >= 0)
    return null;
  const content = text.slice(opening.length).replace(/(^|\n)[`~]{1,2}$/, "$1");
  return { kind: "code", token: { info, content }, children: [], key: `code ${text}` };
}

/** Returns the text without a last line that is undecided, and with marks closed that are open, so that nothing flickers. */
function tidy(text) {
  const undecided = UNDECIDED.exec(text);
  const shown = undecided && !isInCode(text) ? text.slice(0, undecided.index) : text;
  return isInCode(shown) ? shown : closed(shown);
}

function isInCode(text) {
  let fence = "";
  for (const [, mark] of text.matchAll(/^[ >\d.*+-]*(`{3,}|~{3,})/gm)) {
    if (!fence) fence = mark;
    else if (mark.startsWith(fence)) fence = "";
  }
  return fence !== "";
}

function closed(text) {
  const from = text.lastIndexOf("\n\n") + 1;
  let last = text.slice(from);
  for (const [mark, pattern] of [
    ["`", MARKS[1]],
    ["**", MARKS[0]],
  ]) {
    if ((last.match(pattern)?.length ?? 0) % 2 === 0) continue;
    const bare = last.trimEnd();
    last = bare.endsWith(mark) ? bare.slice(0, -mark.length) : `${bare}${mark}`;
    if (mark === "`") break; // What looks like a mark in code is none.
  }
  return text.slice(0, from) + last;
}
