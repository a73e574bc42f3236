// Departures from CommonMark where its rules would take characters out of what models mean literally.

const ALPHANUMERIC = /[A-Za-z0-9]/;
const DUNDER = /__[a-z][a-z0-9_]*?__(?![A-Za-z0-9_])/y; // `__init__`
const PATH = /[A-Za-z0-9:\\]/; // `C:\*.txt`, `a\b`

/** Lets names with underscores, products, paths and entities stand as they are written. */
export function keepWhatIsWritten(markdown) {
  const { ruler, ruler2 } = markdown.inline;
  ruler.disable(["entity"]);
  ruler.before("emphasis", "dunder", dunder);
  ruler.before("escape", "path", path);
  ruler2.before("balance_pairs", "product", products);
}

function take(state, text, silent) {
  if (!silent) state.pending += text;
  state.pos += text.length;
  return true;
}

function dunder(state, silent) {
  DUNDER.lastIndex = state.pos;
  const found = DUNDER.exec(state.src);
  return found ? take(state, found[0], silent) : false;
}

function path(state, silent) {
  const isPath =
    state.src[state.pos] === "\\" && state.src[state.pos + 1] !== "_" && PATH.test(state.src[state.pos - 1] ?? "");
  const isBracket = /[([\])]/.test(state.src[state.pos + 1] ?? ""); // Maths.
  return isPath && !isBracket ? take(state, "\\", silent) : false;
}

/** Stars between letters and digits are products and powers, but for single words such as `hyper**T**ext`. */
function products(state) {
  const inner = state.delimiters.filter(({ marker, token }) => marker === 0x2a && isInner(state, token));
  for (const delimiter of inner) {
    if (isWordMark(state, delimiter)) continue;
    delimiter.open = delimiter.close = false;
  }
}

const before = (state, index) => state.tokens[index - 1]?.content.at(-1) ?? "";
const after = (state, index) => state.tokens[index + 1]?.content[0] ?? "";
const isStars = (token) => token?.type === "text" && /^\*+$/.test(token.content);

/** Whether the run of stars that the token belongs to has letters or digits on both sides. */
function isInner(state, index) {
  let [first, last] = [index, index];
  while (isStars(state.tokens[first - 1])) first -= 1;
  while (isStars(state.tokens[last + 1])) last += 1;
  return ALPHANUMERIC.test(before(state, first)) && ALPHANUMERIC.test(after(state, last));
}

/** Whether a pair of stars is beside a single word of letters, as when the letters of an abbreviation are marked. */
function isWordMark(state, { token: index, length }) {
  if (length < 2) return false;
  const texts = [state.tokens[index - 1], state.tokens[index - 2], state.tokens[index + 1], state.tokens[index + 2]];
  return texts.every((token) => !token || isStars(token) || !/\d/.test(token.content)) && marksWord(state, index);
}

function marksWord(state, index) {
  const isWord = (token) => token?.type === "text" && /^\p{L}+$/u.test(token.content);
  const beyond = (step) => {
    let at = index;
    while (isStars(state.tokens[at])) at += step;
    return isWord(state.tokens[at]) && isStars(state.tokens[at + step]);
  };
  return beyond(1) || beyond(-1);
}
