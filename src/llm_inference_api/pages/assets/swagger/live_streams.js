// Shows what a stream has sent while it goes on, and lets it be stopped; Swagger UI itself shows a response when it ends.

const STREAM = "text/event-stream";

/** Returns a plugin of Swagger UI, and the fetch that feeds it. */
export function liveStreams() {
  const running = new Map(); // {text, stop} by method and path.
  const changed = new EventTarget();
  const note = (name, state) => {
    if (state) running.set(name, state);
    else running.delete(name);
    changed.dispatchEvent(new Event("change"));
  };
  return { plugin: pluginOf(running, changed), fetch: (url, request) => streamed(url, request, note) };
}

async function streamed(url, request, note) {
  const stopping = new AbortController();
  const response = await fetch(url, { ...request, signal: stopping.signal });
  if (!response.headers.get("content-type")?.startsWith(STREAM)) return response;
  const name = `${request.method} ${new URL(url, location).pathname}`;
  const text = await read(response, (soFar) => note(name, { text: soFar, stop: () => stopping.abort() }));
  note(name, null);
  return new Response(text, { status: response.status, statusText: response.statusText, headers: response.headers });
}

async function read(response, tell) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) tell((text += part.value));
  } catch {
    // Stopped, or the connection was lost: what came is shown.
  }
  return text;
}

function pluginOf(running, changed) {
  return ({ React }) => {
    const Live = ({ path, method }) => {
      const [, draw] = React.useReducer((count) => count + 1, 0);
      React.useEffect(() => {
        changed.addEventListener("change", draw);
        return () => changed.removeEventListener("change", draw);
      }, []);
      const pattern = new RegExp(`^${method} ${patternOf(path)}$`, "i");
      const [, state] = [...running].find(([name]) => pattern.test(name)) ?? [];
      if (!state) return null;
      return React.createElement(
        "div",
        { className: "live-stream" },
        React.createElement("h4", null, "Response so far"),
        React.createElement("pre", { tabIndex: 0 }, state.text),
        React.createElement("button", { type: "button", className: "btn", onClick: state.stop }, "Stop"),
      );
    };
    const wrap = (Original) => (properties) =>
      React.createElement(
        "div",
        null,
        React.createElement(Live, properties),
        React.createElement(Original, properties),
      );
    return { wrapComponents: { responses: wrap } };
  };
}

/** Returns the regular expression of a path of the document, with a group for each of its parameters. */
export function patternOf(path) {
  return path
    .split(/\{\w+\}/)
    .map((text) => text.replace(/[.*+?^$()|[\]\\]/g, "\\$&"))
    .join("(.+)");
}
