// Finds the syntax of code, beside the page's thread: {id, language, text} → {id, parts}, null where it does not know.

import highlight from "../vendor/highlight/highlight.min.js";

onmessage = ({ data: { id, language, text } }) => {
  const isKnown = highlight.getLanguage(language) !== undefined;
  postMessage({ id, parts: isKnown ? parts(text, language) : null });
};

/** Returns texts, and {scope, children} for what has a syntax. The emitter's tree has what its HTML would be made of. */
function parts(text, language) {
  const { _emitter: emitter } = highlight.highlight(text, { language, ignoreIllegals: true });
  return emitter.rootNode.children.map(plain);
}

function plain(node) {
  if (typeof node === "string") return node;
  const scope = (node.scope ?? node.language ?? "")
    .split(".")
    .map((name) => `hljs-${name}`)
    .join(" ");
  return { scope, children: node.children.map(plain) };
}
