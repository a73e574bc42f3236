// Mends what Swagger UI's markup leaves out for those who use a keyboard or a screen reader.

// Attributes by the elements that lack them.
const MISSING = {
  "#servers": { ariaLabel: "Server" },
  ".examples-select-element": { ariaLabel: "Example" },
  ".body-param__text": { ariaLabel: "Request body" },
  ".content-type": { ariaLabel: "Media type" },
  ".information-container": { role: "region", ariaLabel: "About the API" },
  ".scheme-container": { role: "region", ariaLabel: "Server" },
  ".info h1.title": { ariaLevel: "2" }, // Below the page's own; those of the tags have level 3.
  "pre.microlight": { tabIndex: 0 },
};

/** A plugin of Swagger UI: the path of an operation is no link, as it stands in the button that opens the operation. */
export function accessible({ React }) {
  const Path = ({ text }) => React.createElement("span", null, text);
  const withoutLinks = (getComponent) => (name, ...more) => (name === "DeepLink" ? Path : getComponent(name, ...more));
  const wrap = (Original) => (properties) =>
    React.createElement(Original, { ...properties, getComponent: withoutLinks(properties.getComponent) });
  return { wrapComponents: { OperationSummaryPath: wrap } };
}

/** Names what is below an element, and lets the keyboard reach what scrolls, now and whenever there is more. */
export function mend(root) {
  const all = () => {
    for (const [selector, attributes] of Object.entries(MISSING))
      for (const element of root.querySelectorAll(selector)) Object.assign(element, attributes);
    for (const table of root.querySelectorAll(".responses-table[role=region]"))
      table.ariaLabel = `Responses of ${table.closest(".opblock").querySelector(".opblock-summary-path").textContent}`;
  };
  new MutationObserver(all).observe(root, { childList: true, subtree: true });
  all();
}
