// Calls of the service's REST API, with the key that the user has given.

import { askForKey, key } from "./key.js";
import { t } from "./words.js";

/** What a call failed with. `status` is 0 where the service was not reached; `retryAfter` is in seconds. */
export class Failure extends Error {
  constructor(message, { status = 0, reason = "", retryAfter = null, details = {} } = {}) {
    super(message);
    Object.assign(this, { status, reason, retryAfter, details });
  }
}

/**
 * Returns the response of a call that succeeded. Asks the user for a key where the service wants one, unless `quiet`.
 * Throws Failure, or the AbortError of `options.signal`.
 */
export async function call(path, { quiet = false, body, ...options } = {}) {
  const response = await sent(
    path,
    body === undefined ? options : { method: "POST", body: JSON.stringify(body), ...options },
  );
  if (response.ok) return response;
  if (response.status === 401 && !quiet && (await askForKey())) return call(path, { body, ...options });
  throw await failureOf(response);
}

async function sent(path, options) {
  const headers = { "content-type": "application/json", ...(key() ? { authorization: `Bearer ${key()}` } : {}) };
  try {
    return await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("", { reason: "UNREACHABLE" });
  }
}

async function failureOf(response) {
  const said = await response.json().catch(() => ({}));
  const failure = statusFailure(said, response.status);
  const after = Number(response.headers.get("retry-after"));
  if (after > 0) failure.retryAfter = after;
  return failure;
}

/** Returns the failure for a google.rpc.Status, as errors of REST and the last event of a broken stream have it. */
export function statusFailure({ message = "", details = [] }, status = 200) {
  const of = (kind) => details.find((detail) => detail["@type"]?.endsWith(kind)) ?? {};
  const info = of("ErrorInfo");
  const delay = parseFloat(of("RetryInfo").retry_delay ?? of("RetryInfo").retryDelay);
  return new Failure(message, {
    status,
    reason: info.reason ?? "",
    details: info.metadata ?? {},
    retryAfter: delay > 0 ? delay : null,
  });
}

/** Yields the data of server-sent events; ends quietly where the connection is lost. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (let part = await next(reader); !part.done; part = await next(reader)) {
      const whole = (rest + part.value).split("\n\n");
      rest = whole.pop();
      for (const event of whole) yield JSON.parse(event.replace(/^data: /, ""));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function next(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { done: true };
  }
}

const WORDS = {
  UNREACHABLE: "The service cannot be reached.",
  OVERLOADED: "The service is busy: more people ask than it can answer at once.",
  CALLER_LIMIT: "You have as many answers running as one may have.",
  NOT_READY: "The service is starting or stopping.",
  DRAINING: "The service is stopping.",
  CONNECTION_LOST: "The connection to the service was lost.",
  PROXY_OVERLOADED: "The service is busy: more people ask than it can answer at once.",
  WORKER_DIED: "The model has crashed and is started again.",
  RPC_SERVER_LOST: "A machine that holds a part of the model is gone.",
  RPC_SERVER_DOWN: "A machine that is to hold a part of the model does not answer.",
  REPLICA_DIED: "The machine that computed the answer is gone.",
  FORWARD_FAILED: "The model failed while it computed this answer.",
  MODEL_UNLOADING: "The model is being taken out of memory.",
  MODEL_NOT_LOADED:
    "This model is not in memory, and questions do not load models here. Load it in the list of models.",
  MODEL_NOT_FOUND: "This model is not served here any more. Choose another one.",
  POISON_REQUEST: "The model has crashed twice on this question; it is not asked again.",
  DEADLINE_EXCEEDED: "The answer took longer than an answer may take here.",
  WRITE_TIMEOUT: "This page did not read the answer in time.",
  COMPUTATION_FAILED: "The model computed something that is no answer.",
  RESOURCES_EXHAUSTED: "The service's machine has too little memory left at the moment.",
  DISK_FULL: "The service's disk has no room for the model's files.",
};

/** Returns what a person is told of a failure. */
export function explain(failure) {
  const { reason, status, details, message } = failure;
  if (reason === "CONTEXT_LENGTH_EXCEEDED") {
    const numbers = { has: details.prompt_tokens, most: details.context_length };
    return t(
      "The conversation is too long for this model: it has {has} tokens, and {most} fit, the answer included. Begin a new chat, or remove something.",
      numbers,
    );
  }
  if (WORDS[reason]) return t(WORDS[reason]);
  if (status === 401) return t(key() ? "The service does not know this API key." : "The service asks for an API key.");
  if (reason === "INTERNAL" && details.incident_id)
    return t("The service failed unexpectedly. Its log has more under {id}.", { id: details.incident_id });
  return message || t("The service answered with status {status}.", { status });
}
