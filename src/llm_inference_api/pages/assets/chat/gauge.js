// How much of the model's context the conversation fills, by the last answer's figures.

import { $ } from "../common/dom.js";
import { number, t, tokens } from "../common/words.js";

export function showGauge(conversation, model) {
  const last = conversation?.path().findLast(({ figures }) => figures?.total);
  const most = model?.info?.context_length;
  $("context").hidden = !last;
  if (!last) return;
  $("gauge").hidden = !most;
  $("gauge").value = most ? last.figures.total / most : 0;
  $("context-words").textContent = most
    ? t("{n} of {all} tokens", { n: number(last.figures.total), all: number(most) })
    : tokens(last.figures.total);
}
