// Starts Swagger UI with this service's OpenAPI document: streams as they come, samples of code, locks where there are keys.

import { $, make } from "../common/dom.js";
import { key } from "../common/key.js";
import { call, explain } from "../common/service.js";
import { accessible, mend } from "./accessible.js";
import { liveStreams } from "./live_streams.js";
import { samples } from "./samples.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const followSystem = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followSystem);
followSystem();

start().catch((failure) => {
  $("swagger-ui").replaceWith(make("main", {}, $("problem")));
  $("problem").textContent = explain(failure);
});

async function start() {
  const spec = await (await call("/openapi.json")).json();
  const hasKeys = (await fetch("/v1/models")).status === 401;
  if (!hasKeys) withoutLocks(spec);
  const { plugin: streams, fetch: userFetch } = liveStreams();
  const { plugin: snippets, generators } = samples(spec);
  mend($("swagger-ui"));
  const ui = globalThis.SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null, // The validator is an external service.
    defaultModelsExpandDepth: 0,
    syntaxHighlight: { theme: "tomorrow-night" }, // The usual one's numbers are too dark to read.
    requestSnippetsEnabled: true,
    requestSnippets: { generators, defaultExpanded: true, languages: Object.keys(generators) },
    requestInterceptor: (request) => Object.assign(request, { userFetch }),
    plugins: [streams, snippets, accessible],
    onComplete: () => hasKeys && key() && ui.preauthorizeApiKey("apiKey", key()),
  });
}

function withoutLocks(spec) {
  delete spec.security;
  delete spec.components.securitySchemes;
  for (const path of Object.values(spec.paths)) for (const operation of Object.values(path)) delete operation.security;
}
