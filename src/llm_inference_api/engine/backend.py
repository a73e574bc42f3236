"""What the engine needs of a library that computes: llama.cpp in the product, a small fake in its tests."""

from collections.abc import Sequence as Rows
from typing import Any, NamedTuple, Protocol

from llm_inference_api.requests.constraint import Constraint
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.request import Sampling


class Row(NamedTuple):
    """One token of a forward."""

    token: int
    position: int
    seat: int
    wants_scores: bool
    """Whether a token is to be sampled after this one."""


KEPT = -1
"""In place of a row: the one whose scores the sampler has kept."""


class Sampler(Protocol):
    """Chooses the tokens of one sequence."""

    def is_ready(self) -> bool:
        """Returns whether `sample` can choose at once; False where it would have to wait for a mask."""

    def keep(self, row: int) -> None:
        """Keeps the scores of this row, for the row `KEPT`, beyond the next forward."""

    def sample(self, row: int) -> int:
        """Returns the token chosen after this row of the last forward.

        Raises ComputationError where the scores are no numbers, or leave no token to choose; InvalidFieldError where a
        mask leaves none.
        """

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """Returns the log probability of a token after this row, with the `top` most probable ones."""

    def close(self) -> None:
        """Frees what the sampler holds."""


class Mask(Protocol):
    """Says which tokens may come next in one answer."""

    def is_ready(self) -> bool:
        """Returns whether `allowed` need not wait."""

    def allowed(self) -> Any:
        """Returns the ids of these tokens, in order, as an array.

        Raises InvalidFieldError where the text cannot be continued to one that is allowed.
        """

    def accept(self, token: int) -> None:
        """Notes the token that was chosen."""

    def matches(self, text: str) -> bool:
        """Returns whether this would be allowed as the whole answer."""


class Backend(Protocol):
    """A loaded model and its key-value cache. Owned by one thread."""

    def forward(self, rows: Rows[Row]) -> None:
        """Computes the rows, and keeps their keys and values in their seats.

        Raises BackendError where the computation failed.
        """

    def sampler(self, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool) -> Sampler:
        """Returns a new sampler for a sequence with this prompt."""

    def mask(self, constraint: Constraint) -> Mask:
        """Returns a new mask for an answer. Raises InvalidFieldError where no text can match the constraint."""

    def json_schema(self, schema: dict[str, Any], field: str, *, strict: bool) -> dict[str, Any]:
        """Returns the schema as part of a grammar; see `constraint.Grammars.json_schema`."""

    def masked_sampler(self, sampling: Sampling, prompt: Rows[int], mask: Mask) -> Sampler:
        """Returns a new sampler that chooses among the mask's tokens only."""

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Lets the empty seat `target` share the first `length` positions of the seat `source`."""

    def truncate(self, seat: int, length: int) -> None:
        """Drops what the seat holds from position `length` on."""

    def piece(self, token: int) -> bytes:
        """Returns the bytes of a token's text; none for control tokens."""

    def is_end(self, token: int) -> bool:
        """Returns whether the token ends an answer."""

    def clear(self) -> None:
        """Empties the key-value cache."""


class BackendError(Exception):
    """A forward failed; the key-value cache can no longer be trusted."""
