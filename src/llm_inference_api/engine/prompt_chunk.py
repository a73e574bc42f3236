"""Where the steps of a prompt end that is computed alone."""

from typing import NamedTuple

from llm_inference_api.engine.plan import Work


class Chunk(NamedTuple):
    """How a prompt is computed alone where a row's result depends on the rows of its batch."""

    rows: int
    """A step ends at the next multiple of them."""
    block: int
    """Rows, a divisor of `rows`: where a step begins at a multiple of them and has as many at least, each whole block
    has the same results in any such step."""

    def start(self, known: int, total: int) -> int:
        """Returns where the first step may begin if `known` of `total` tokens need not be computed."""
        in_chunk = min(known, total - self.block)
        return max(known - known % self.rows, in_chunk - in_chunk % self.block)

    def exact_rows(self, work: Work) -> int:
        """Returns how many leading rows of a step's only work are as in any other such step."""
        within = work.start % self.rows + work.count <= self.rows
        return work.count - work.count % self.block if within and not work.start % self.block else 0
