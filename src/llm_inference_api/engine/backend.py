"""Protocol between the engine and a backend: a library that runs a model's forwards."""

from collections.abc import Sequence as Rows
from typing import Any, NamedTuple, Protocol

from llm_inference_api.engine.prefix_store import BlockState
from llm_inference_api.requests.adapters import Adapters
from llm_inference_api.requests.constraint import ArgumentSchemas, Constraint, FollowedSchema
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.request import Sampling


class Row(NamedTuple):
    """One token of a batch."""

    token: int
    position: int
    seat: int
    wants_scores: bool
    """Whether the backend must keep this row's scores (logits), because the next token is sampled from them."""


KEPT = -1
"""Pseudo row index: the row that `Sampler.keep` has saved."""


class Sampler(Protocol):
    """Chooses the tokens of one sequence."""

    def is_ready(self) -> bool:
        """Returns whether `sample` would not block on a mask."""

    def keep(self, row: int) -> None:
        """Copies the row's scores, so that they are available as row `KEPT` after the next forward."""

    def sample(self, row: int) -> int:
        """Samples and returns the token id that follows a row of the last forward.

        Raises:
            ComputationError: The scores are not finite, or exclude every token.
            InvalidFieldError: The mask allows no token.
        """

    def accept(self, token: int) -> bool:
        """Takes a token that follows without having been sampled; returns False if the mask does not allow it."""

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """Returns the log probability of a token after this row, and those of the `top` most probable tokens."""

    def close(self) -> None:
        """Frees the sampler's resources."""


class Mask(Protocol):
    """The tokens that a constraint allows next, in one sequence."""

    def is_ready(self) -> bool:
        """Returns whether `allowed` would not block."""

    def allowed(self) -> Any:
        """Returns the allowed token ids in ascending order, as an int32 array of shape [count].

        Raises:
            InvalidFieldError: The text cannot be continued to one that the constraint matches.
        """

    def accept(self, token: int) -> None:
        """Advances the constraint by the sampled token."""

    def matches(self, text: str) -> bool:
        """Returns whether the text matches the constraint as a complete answer."""


class Backend(Protocol):
    """A loaded model and its KV cache. Owned by one thread."""

    def forward(self, rows: Rows[Row]) -> None:
        """Runs the model on a batch and stores the keys and values of its rows in their seats.

        Raises:
            BackendError: The computation failed; the state of the KV cache is undefined.
        """

    def sampler(self, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool) -> Sampler:
        """Returns a new sampler for a sequence with this prompt of token ids."""

    def mask(self, constraint: Constraint) -> Mask:
        """Returns a new mask for one sequence. Raises InvalidFieldError if no text can match the constraint."""

    def arguments(self, schemas: ArgumentSchemas) -> list[FollowedSchema]:
        """Returns the schemas for use inside a grammar; see `constraint.Grammars.arguments`."""

    def terminal(self, text: str) -> str:
        """Returns a literal text for use inside a grammar; see `grammar.lark.Terminal`."""

    def masked_sampler(self, sampling: Sampling, prompt: Rows[int], mask: Mask) -> Sampler:
        """Returns a new sampler that only chooses tokens that the mask allows."""

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Lets the empty seat `target` share the first `length` positions of the seat `source`."""

    def truncate(self, seat: int, length: int) -> None:
        """Drops the positions of the seat from `length` on."""

    def rehome(self, seat: int) -> None:
        """Moves the seat's keys and values to the lowest free cells, in the order of the cells they have.

        Called only for backends that give new rows the lowest free cells.
        """

    def save(self, seat: int, start: int, end: int, cuts: Rows[int] = ()) -> BlockState:
        """Returns a copy of the seat's keys and values from the position `start` to `end`.

        Called, as `restore`, only for backends that give new rows the lowest free cells. A copy has the order of the
        cells; `cuts` are the positions between these whose cell is below that of the position before.
        """

    def restore(self, seat: int, state: BlockState, start: int, length: int) -> None:
        """Puts the first `length` positions of a saved copy, which began at `start`, at the end of the seat.

        They take the lowest free cells in order; for a moment all positions of the copy take some.

        Raises:
            BackendError: There are too few.
        """

    def logprobs(self, row: int, tokens: Rows[int], top: int) -> Rows[TokenLogprob]:
        """Returns the log probabilities of tokens after a row of the last forward that wants scores.

        Args:
            row: Index of the row.
            tokens: Token ids.
            top: Number of most probable tokens to list with each.

        Raises:
            ComputationError: The scores are not finite.
        """

    def piece(self, token: int) -> bytes:
        """Returns the bytes of a token's text; empty for control tokens."""

    def text(self, token: int) -> bytes:
        """Returns the bytes that spell a token, control tokens included."""

    def is_end(self, token: int) -> bool:
        """Returns whether the token is an end-of-generation token."""

    def clear(self) -> None:
        """Clears the KV cache."""

    def adapt(self, adapters: Adapters) -> None:
        """Sets the adapters of the next forwards."""


class BackendError(Exception):
    """A forward failed; the state of the KV cache is undefined."""
