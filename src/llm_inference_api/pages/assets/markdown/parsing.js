// Markdown to a tree of blocks, by markdown-it: CommonMark with GFM's tables, strikes and links, and maths.

import MarkdownIt from "../vendor/markdown_it/markdown-it.esm.min.mjs";
import { addMaths } from "./maths_rules.js";
import { keepWhatIsWritten } from "./verbatim_rules.js";

const markdown = new MarkdownIt({ html: false, linkify: true, breaks: true });
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false }); // `main.py` and `a.is` are no addresses.
keepWhatIsWritten(markdown);
addMaths(markdown);

/**
 * Returns the blocks of a text: {kind, key, token, inline, children}. Blocks with the same key look the same. `first` is
 * the block's first line. `env` keeps the definitions of links between parts of one text.
 */
export function blocks(text, env) {
  const tokens = [];
  markdown.block.parse(text, markdown, env, tokens);
  return nested(tokens, text.split("\n"));
}

/** Returns the inline tokens of a block's text. */
export function inlines(text, env) {
  return markdown.parseInline(text, env)[0]?.children ?? [];
}

function nested(tokens, lines) {
  const root = { children: [] };
  const open = [root];
  for (const token of tokens) {
    if (token.type === "reference_definition") continue;
    if (token.nesting < 0) {
      finish(open.pop());
    } else if (token.type === "inline") {
      open.at(-1).inline = token.content;
    } else {
      const block = { kind: kindOf(token), token, children: [], inline: null, first: token.map?.[0] ?? 0 };
      block.source = token.map ? lines.slice(...token.map).join("\n") : "";
      open.at(-1).children.push(block);
      if (token.nesting > 0) open.push(block);
      else finish(block);
    }
  }
  return root.children;
}

function finish(block) {
  // A list's paragraphs look otherwise once the list is loose, which a later line may make it.
  block.shape = `${block.kind}(${block.children.map(({ shape }) => shape).join()})`;
  block.key = `${block.shape} ${block.source || block.inline}`;
}

function kindOf({ type, tag, hidden }) {
  if (type === "fence" || type === "code_block") return "code";
  if (type === "math_block") return "math";
  return hidden ? "line" : tag;
}
