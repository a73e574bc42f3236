// Samples of code for a request: curl, Python, JavaScript and gRPC.

import { patternOf } from "./live_streams.js";

/** Returns a plugin of Swagger UI, and its list of generators. */
export function samples(spec) {
  const fn = {
    requestSnippetGenerator_python: python,
    requestSnippetGenerator_javascript: javascript,
    requestSnippetGenerator_grpc: (request) => grpc(read(request), spec),
  };
  const generators = {
    curl_bash: { title: "curl", syntax: "bash" },
    python: { title: "Python", syntax: "python" },
    javascript: { title: "JavaScript", syntax: "javascript" },
    grpc: { title: "gRPC", syntax: "bash" },
  };
  return { plugin: () => ({ fn }), generators };
}

function read(request) {
  const { url, method, headers = {}, body } = request.toJS();
  const text = typeof body === "string" ? body : body && JSON.stringify(body);
  return {
    url: new URL(url, location).href,
    method,
    headers,
    body: text ? parsed(text) : undefined,
    isStream: /stream|:watch/.test(url) || /"stream":\s*true/.test(text ?? ""),
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const sent = (headers) => Object.fromEntries(Object.entries(headers).filter(([name]) => !/^accept$/i.test(name)));

function python(request) {
  const { url, method, headers, body, isStream } = read(request);
  const more = Object.entries(sent(headers)).filter(([name]) => !/^content-type$/i.test(name));
  const values = [`"${method}"`, `"${url}"`];
  if (body !== undefined) values.push(`json=${literal(body)}`);
  if (more.length) values.push(`headers=${literal(Object.fromEntries(more))}`);
  values.push("timeout=None");
  if (!isStream) return `import httpx\n\nanswer = httpx.request(${values.join(", ")})\nprint(answer.text)`;
  return `import httpx\n\nwith httpx.stream(${values.join(", ")}) as answer:\n    for line in answer.iter_lines():\n        print(line)`;
}

/** Returns a value as Python writes it. */
function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([name, one]) => `${JSON.stringify(name)}: ${literal(one)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}

function javascript(request) {
  const { url, method, headers, body, isStream } = read(request);
  const options = { method, headers: sent(headers) };
  const shown = JSON.stringify(options, null, 2).replace(
    /\n\}$/,
    body === undefined ? "\n}" : `,\n  "body": JSON.stringify(${JSON.stringify(body)})\n}`,
  );
  const begun = `const answer = await fetch("${url}", ${shown});\n`;
  if (!isStream) return `${begun}console.log(await answer.text());`;
  return `${begun}for await (const part of answer.body.pipeThrough(new TextDecoderStream())) console.log(part);`;
}

function grpc({ url, method, headers, body }, spec) {
  const { host, pathname, protocol } = new URL(url);
  const found = Object.entries(spec.paths).find(
    ([path, operations]) => operations[method.toLowerCase()] && new RegExp(`^${patternOf(path)}$`).test(pathname),
  );
  const [path, operations] = found ?? ["", {}];
  const name = operations[method.toLowerCase()]?.["x-grpc-method"];
  if (!name) return "# This path has no typed method of its own.";
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
  const values = new RegExp(`^${patternOf(path)}$`).exec(pathname).slice(1).map(decodeURIComponent);
  const message = { ...Object.fromEntries(parameters.map((parameter, index) => [parameter, values[index]])), ...body };
  const key = Object.entries(headers).find(([header]) => /^authorization$/i.test(header))?.[1];
  const options = [
    protocol === "http:" ? "-plaintext" : "",
    key ? `-H ${quoted(`authorization: ${key}`)}` : "",
    `-d ${quoted(JSON.stringify(message))}`,
  ];
  return `grpcurl ${options.filter(Boolean).join(" ")} \\\n  ${host} ${name}`;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
