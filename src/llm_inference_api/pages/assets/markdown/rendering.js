// Blocks to elements. No markup is ever parsed: texts become text nodes.

import { make } from "../common/dom.js";
import { t } from "../common/words.js";
import { codeBlock, updateCode } from "./code.js";
import { maths } from "./maths.js";
import { inlines } from "./parsing.js";

const CONTAINERS = new Set(["ul", "ol", "li", "blockquote", "table", "thead", "tbody"]);
const HEADING = "h4"; // Below those of the page, whatever levels the text leaves out.
const TASK = /^\[([ xX])\] /;

/** Lets the children of an element from index `from` on show the blocks, touching those only that changed. */
export function reconcile(parent, blocks, from, options) {
  blocks.forEach((block, index) => {
    const old = parent.children[from + index];
    const isOpen = !options.isWhole && index === blocks.length - 1;
    if (old?.shown === block.key && old.isOpen === isOpen) return;
    const made =
      old && old.kind === block.kind && updated(old, block, { ...options, isOpen })
        ? old
        : created(block, { ...options, isOpen });
    Object.assign(made, { shown: block.key, kind: block.kind, isOpen });
    if (!old) parent.append(made);
    else if (made !== old) old.replaceWith(made);
  });
  while (parent.children.length > from + blocks.length) parent.lastElementChild.remove();
}

function updated(element, block, options) {
  if (block.kind === "code") return updateCode(element, block.token, options.isOpen);
  if (!CONTAINERS.has(block.kind)) return false;
  reconcile(inner(element), block.children, 0, { ...options, isWhole: !options.isOpen });
  return true;
}

const inner = (element) => (element.className === "table" ? element.firstElementChild : element);

function created(block, options) {
  if (block.kind === "code") return codeBlock(block.token, options.isOpen);
  if (block.kind === "math") return maths(block.token.content, true, block.source);
  if (block.kind === "tr") return make("tr", {}, ...block.children.map((cell) => cellOf(cell, options)));
  if (CONTAINERS.has(block.kind)) return container(block, options);
  return leaf(block, options);
}

function container(block, options) {
  const element = make(block.kind);
  const start = block.token.attrGet("start");
  if (start) element.start = Number(start);
  reconcile(element, block.children, 0, { ...options, isWhole: !options.isOpen });
  if (block.kind !== "table") return element;
  return make("div", { class: "table", tabIndex: 0, role: "region", aria: { label: t("Table") } }, element);
}

function cellOf(block, { env }) {
  const align = /text-align:(\w+)/.exec(block.token.attrGet("style") ?? "")?.[1] ?? "";
  return make(block.kind, { class: align }, ...nodes(block.inline, env));
}

function leaf(block, { env }) {
  if (block.kind === "hr") return make("hr");
  const task = block.kind === "line" || block.kind === "p" ? TASK.exec(block.inline ?? "") : null;
  const content = nodes(task ? block.inline.slice(task[0].length) : (block.inline ?? ""), env);
  const properties = block.kind === "line" ? { class: "line" } : {};
  if (task)
    content.unshift(
      make("input", { type: "checkbox", disabled: true, checked: task[1] !== " ", aria: { label: t("Task") } }),
      " ",
    );
  return /^h\d$/.test(block.kind)
    ? make(HEADING, { class: block.kind }, ...content)
    : make("p", properties, ...content);
}

// ---- Inline

const OPENING = { strong_open: "strong", em_open: "em", s_open: "s", link_open: "a" };

function nodes(text, env) {
  const root = { append: (...more) => root.children.push(...more), children: [] };
  const open = [root];
  for (const token of inlines(text ?? "", env)) {
    if (OPENING[token.type]) open.push(opened(token));
    else if (token.nesting < 0) open.at(-2).append(open.pop());
    else open.at(-1).append(inlineNode(token));
  }
  return root.children;
}

function opened(token) {
  const element = make(OPENING[token.type]);
  if (token.type === "link_open") link(element, token.attrGet("href"));
  return element;
}

function link(element, address) {
  if (!/^(https?:|mailto:)/i.test(address)) return element; // A path would be one of this page's.
  return Object.assign(element, { href: address, target: "_blank", rel: "noopener noreferrer", title: address });
}

function inlineNode(token) {
  switch (token.type) {
    case "code_inline":
      return make("code", {}, token.content);
    case "softbreak":
    case "hardbreak":
      return make("br");
    case "math_inline":
      return maths(token.content, token.block, token.markup);
    case "image": // Nothing is loaded from elsewhere.
      return link(make("a", {}, token.content || token.attrGet("src")), token.attrGet("src"));
    default:
      return token.content;
  }
}
