// Maths in Markdown: $…$ and \(…\) within a line, $$…$$ and \[…\] as blocks.

const INLINE = [
  [/\\\((.+?)\\\)/sy, false],
  [/\\\[(.+?)\\\]/sy, true],
  [/\$\$(.+?)\$\$/sy, true],
  // As pandoc reads it, so that "$5 and $10" stays: no space inside, no digit behind.
  [/\$(?![\s$])((?:[^$\\]|\\.)+?)(?<![\s\\])\$(?![\d$])/sy, false],
];
const BLOCKS = [
  [/^\$\$/, /\$\$\s*$/],
  [/^\\\[/, /\\\]\s*$/],
];

export function addMaths(markdown) {
  markdown.inline.ruler.before("escape", "math", inline);
  markdown.block.ruler.before("fence", "math_block", block, { alt: ["paragraph", "reference", "blockquote", "list"] });
}

function inline(state, silent) {
  const character = state.src[state.pos];
  if (character !== "$" && character !== "\\") return false;
  for (const [pattern, isBlock] of INLINE) {
    pattern.lastIndex = state.pos;
    const found = pattern.exec(state.src);
    if (!found) continue;
    if (!silent)
      Object.assign(state.push("math_inline", "math", 0), { content: found[1], block: isBlock, markup: found[0] });
    state.pos += found[0].length;
    return true;
  }
  return false;
}

const lineOf = (state, line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);

function block(state, first, end, silent) {
  const beginning = lineOf(state, first);
  const [opening, closing] = BLOCKS.find(([pattern]) => pattern.test(beginning)) ?? [];
  if (!opening || state.sCount[first] - state.blkIndent >= 4) return false;
  const found = [beginning.replace(opening, "")];
  let line = first;
  while (!closing.test(found.at(-1))) {
    line += 1;
    if (line >= end || state.sCount[line] < state.blkIndent) return false; // Not closed: it is text.
    found.push(lineOf(state, line));
  }
  if (silent) return true;
  found.push(found.pop().replace(closing, ""));
  const token = state.push("math_block", "math", 0);
  Object.assign(token, { content: found.join("\n").trim(), map: [first, line + 1], block: true });
  state.line = line + 1;
  return true;
}
