"""Validates all lines of a batch, before the first one is computed."""

from collections.abc import Iterable
from hashlib import blake2b

from llm_inference_api.batches.lines import LineWire
from llm_inference_api.batches.records import BatchJob, Line, LineProblem

MAX_PROBLEMS = 100
"""Problems of a batch that are told."""


class Validation:
    """What the lines of a batch have shown so far. Not for two threads at once."""

    def __init__(self, batch: BatchJob, wire: LineWire) -> None:
        self._endpoint = batch.endpoint
        self._wire = wire
        self._seen: set[bytes] = set()
        """Digests of the ids: 50,000 of them take some megabytes, however long the ids are."""
        self._models: set[str | None] = set()
        self.total = 0
        """Number of requests."""
        self.problems: list[LineProblem] = []

    @property
    def model(self) -> str | None:
        """The model that all lines name; None if they name several, or none."""
        return next(iter(self._models)) if len(self._models) == 1 else None

    def read(self, lines: Iterable[Line]) -> None:
        """Validates some lines; once there are `MAX_PROBLEMS`, the rest is not."""
        for line in lines:
            if not line.is_blank and len(self.problems) < MAX_PROBLEMS:
                self.total += 1
                if problem := self._check(line):
                    self.problems.append(problem)

    def end(self) -> None:
        """Notes the problem of a file without any request."""
        if not self.total:
            self.problems.append(LineProblem("empty_file", "the input file has no requests"))

    def _check(self, line: Line) -> LineProblem | None:
        heading = self._wire.check(line, self._endpoint)
        if isinstance(heading, LineProblem):
            return heading
        digest = blake2b(heading.custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._seen:
            shown = heading.custom_id[:100]
            return LineProblem(
                "duplicate_custom_id", f"custom_id {shown!r} is that of another line", "custom_id", line.number
            )
        self._seen.add(digest)
        if len(self._models) < 2:
            self._models.add(heading.model)
        return None
