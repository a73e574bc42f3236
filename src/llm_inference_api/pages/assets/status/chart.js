// A small chart of a figure's last values.

import { $ } from "../common/dom.js";
import { t } from "../common/words.js";

const VALUES = 150; // Five minutes, a value every two seconds.
const [WIDTH, HEIGHT, MARGIN] = [150, 40, 2];

export class Chart {
  #values = [];

  /** `say` returns a value in words. */
  constructor(parent, name, say) {
    Object.assign(this, { name, say, element: $("chart").content.firstElementChild.cloneNode(true) });
    this.element.querySelector("span").textContent = name;
    this.element.querySelector("svg").ariaLabel = name;
    parent.append(this.element);
  }

  /** Adds a value; null, where there was nothing to measure, is the value before. */
  add(found) {
    const value = found ?? this.#values.at(-1) ?? 0;
    this.#values = [...this.#values, value].slice(-VALUES);
    const most = Math.max(...this.#values);
    const words = t("at most {most} in five minutes", { most: this.say(most) });
    this.element.querySelector("strong").textContent = this.say(value);
    this.element.querySelector("p").textContent = words;
    this.element.querySelector("svg").ariaLabel = `${this.name}: ${this.say(value)}, ${words}`;
    this.#draw(most);
  }

  #draw(most) {
    const first = WIDTH - this.#values.length + 1;
    const height = (value) => HEIGHT - MARGIN - (most ? (value / most) * (HEIGHT - 2 * MARGIN) : 0);
    const points = this.#values.map((value, index) => `${first + index},${height(value).toFixed(2)}`);
    this.element.querySelector(".line").setAttribute("d", `M${points.join("L")}`);
    this.element
      .querySelector(".area")
      .setAttribute("d", `M${first},${HEIGHT}L${points.join("L")}L${WIDTH},${HEIGHT}Z`);
  }
}
