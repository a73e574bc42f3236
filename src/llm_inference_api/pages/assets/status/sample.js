// The metrics at one time, in Prometheus's text format: https://prometheus.io/docs/instrumenting/exposition_formats

const PREFIX = "llm_inference_";
const LINE = /^(\w+)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

export class Sample {
  #series = new Map(); // [{labels, value}] by name.

  /** `time` is in milliseconds. */
  constructor(text, time) {
    this.time = time;
    for (const line of text.split("\n")) {
      const [, name, labels = "", value] = LINE.exec(line) ?? [];
      if (!name?.startsWith(PREFIX) || name.endsWith("_bucket")) continue;
      const short = name.slice(PREFIX.length);
      const found = Object.fromEntries(
        [...labels.matchAll(LABEL)].map(([, key, text]) => [
          key,
          text.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c)),
        ]),
      );
      this.#series.set(short, [...(this.#series.get(short) ?? []), { labels: found, value: Number(value) }]);
    }
  }

  /** Returns the sum of a metric's series that have these labels. */
  sum(name, labels = {}) {
    const wanted = Object.entries(labels);
    const series = (this.#series.get(name) ?? []).filter((one) =>
      wanted.every(([key, value]) => one.labels[key] === value),
    );
    return series.reduce((total, { value }) => total + value, 0);
  }

  labels(name) {
    return this.#series.get(name)?.[0]?.labels ?? {};
  }

  /** Returns by how much a counter has grown a second; a service that was started again counts from 0. */
  rate(before, name, labels) {
    return Math.max(0, this.#growth(before, name, labels)) / ((this.time - before.time) / 1000);
  }

  /** Returns the mean of what a histogram has counted since; null for nothing. */
  mean(before, name) {
    return ratio(this.#growth(before, `${name}_sum`), this.#growth(before, `${name}_count`));
  }

  share(part, whole) {
    return ratio(this.sum(part), this.sum(whole)) ?? 0;
  }

  /** Returns how much of what one counter has counted since another has counted too; null for nothing. */
  shareOf(before, part, whole) {
    return ratio(this.#growth(before, part), this.#growth(before, whole));
  }

  #growth(before, name, labels) {
    return this.sum(name, labels) - before.sum(name, labels);
  }
}

const ratio = (part, whole) => (whole > 0 ? Math.max(0, part) / whole : null);
