// The API key: asked for where the service wants one, and kept until the tab is closed.

import { $ } from "./dom.js";
import { t } from "./words.js";

let asked = null; // The promise of the question that is open.

export const key = () => sessionStorage.getItem("key") ?? "";

/** Asks the user for the key, once for all that want it; resolves to whether there is a new one. */
export function askForKey() {
  asked ??= ask().finally(() => (asked = null));
  return asked;
}

function ask() {
  const dialog = $("key-dialog");
  $("key-problem").textContent = key() ? t("The service does not know this API key.") : "";
  $("key").value = key();
  $("key-cancel").onclick = () => dialog.close();
  dialog.showModal();
  $("key").select();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      const given = $("key").value.trim();
      if (dialog.returnValue === "given") sessionStorage.setItem("key", given);
      resolve(dialog.returnValue === "given" && given !== "");
      dialog.returnValue = "";
    };
  });
}
