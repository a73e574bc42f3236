"""Measures every family, prints the table with what differs, and writes it into docs/models.md: `make families`."""

import argparse
from collections import Counter
from collections.abc import Iterable

from tests.oracle.families import measured
from tests.oracle.families.page import write
from tests.oracle.families.reading import template_of
from tests.oracle.families.table import explanations
from tests.oracle.material import cached_material


def main() -> None:
    """Measures the templates that the argument chooses; the page is written where all are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("template", nargs="?", default="", help="text in the names of the templates to measure")
    parser.add_argument("--texts", action="store_true", help="print the texts of what differs")
    options = parser.parse_args()
    material = cached_material("llama-chat")
    families = measured.families(material, options.template)
    table = measured.table(families)
    print(table)
    _print_differences(families, with_texts=options.texts)
    for name in measured.templates(material, options.template):
        if problem := template_of(material, name).form.problem:
            print(f"form       {name}: {problem}")
    print(measured.summary(families))
    if not options.template:
        write(table)


def _print_differences(families: Iterable[measured.Family], *, with_texts: bool) -> None:
    known = {kind: explanations(kind) for kind in ("reading", "mask", "rendering")}
    counts: Counter[tuple[str, str]] = Counter()
    for family in families:
        for kind, name, problem, texts in measured.differences(family):
            reason = known[kind].get(name, "")
            counts[kind, reason or "without an explanation"] += 1
            if not reason:
                print(f"{kind:10} {name}: {problem}")
            if with_texts:
                print(texts)
    for (kind, reason), count in sorted(counts.items()):
        print(f"{kind:10} {count:4}  {reason}")


if __name__ == "__main__":
    main()
