"""A model without llama.cpp: it repeats its prompt, token by token, and checks how the engine uses it."""

import json
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field

from llm_inference_api.engine.backend import KEPT, BackendError, Row
from llm_inference_api.errors import ComputationError
from llm_inference_api.requests.adapters import Adapters
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.request import Sampling

END = 0
"""The token that ends an answer."""


@dataclass
class FakeBackend:
    """Computes nothing: after a token comes what the script says."""

    seats: dict[int, list[int]] = field(default_factory=dict)
    forwards: list[list[Row]] = field(default_factory=list)
    scores: dict[int, int] = field(default_factory=dict)
    """The next token by row of the last forward."""
    script: dict[int, int] = field(default_factory=dict)
    """The next token by last token; others are followed by themselves plus 1."""
    adapted: list[Adapters] = field(default_factory=list)
    """The adapters of each forward."""
    adapters: Adapters = ()
    rehomed: list[int] = field(default_factory=list)
    fail_next: bool = False
    closed_samplers: int = 0
    late_after: set[int] = field(default_factory=set)
    """Tokens after which a mask is not ready."""

    def forward(self, rows: Rows[Row]) -> None:
        """Notes the rows; each must continue its seat."""
        if self.fail_next:
            self.fail_next = False
            raise BackendError("no memory")
        self.forwards.append(list(rows))
        self.adapted.append(self.adapters)
        self.scores = {}
        for index, row in enumerate(rows):
            seat = self.seats.setdefault(row.seat, [])
            assert row.position == len(seat), f"row {row} does not continue its seat of {len(seat)} tokens"
            seat.append(row.token)
            if row.wants_scores:
                self.scores[index] = self.script.get(row.token, row.token + 1)

    def sampler(self, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool) -> "FakeSampler":
        """Returns a sampler that takes what the script says."""
        return FakeSampler(self, prompt)

    def terminal(self, text: str) -> str:
        """Returns the text as a string of Lark."""
        return json.dumps(text)

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Copies; the target must be empty."""
        assert not self.seats.get(target)
        assert len(self.seats[source]) >= length
        self.seats[target] = self.seats[source][:length]

    def truncate(self, seat: int, length: int) -> None:
        """Drops the seat's end."""
        del self.seats[seat][length:]

    def rehome(self, seat: int) -> None:
        """Notes the seat."""
        self.rehomed.append(seat)

    def adapt(self, adapters: Adapters) -> None:
        """Notes the adapters."""
        self.adapters = adapters

    def save(self, seat: int, start: int, end: int, cuts: Rows[int] = ()) -> "FakeState":
        """Returns the seat's tokens at these positions."""
        tokens = self.seats[seat][start:end]
        assert len(tokens) == end - start
        return FakeState(tokens)

    def restore(self, seat: int, state: "FakeState", start: int, length: int) -> None:
        """Appends the first ones of saved tokens; they must continue the seat."""
        held = self.seats.setdefault(seat, [])
        assert len(held) == start
        held += state.tokens[:length]

    def logprobs(self, row: int, tokens: Rows[int], top: int) -> list[TokenLogprob]:
        """Returns 0 for the scripted token, and -1 for all others."""
        return [
            TokenLogprob(token, self.piece(token), 0.0 if self.scores[row] == token else -1.0, ()) for token in tokens
        ]

    def piece(self, token: int) -> bytes:
        """Returns the token's number and a space."""
        return f"{token} ".encode()

    def text(self, token: int) -> bytes:
        """Returns the same as `piece`."""
        return self.piece(token)

    def is_end(self, token: int) -> bool:
        """Returns whether it is the end token."""
        return token == END

    def clear(self) -> None:
        """Forgets all seats."""
        self.seats.clear()


@dataclass
class FakeState:
    """Saved tokens, of a byte each."""

    tokens: list[int]

    @property
    def nbytes(self) -> int:
        """The number of tokens."""
        return len(self.tokens)


@dataclass
class FakeSampler:
    """Takes the token that the backend's script says; a negative one is a failure."""

    backend: FakeBackend
    tokens: Rows[int] = ()
    """The known ones of its sequence."""
    kept: int = END

    def is_ready(self) -> bool:
        """Returns whether the mask after the newest token is."""
        return self.tokens[-1] not in self.backend.late_after

    def keep(self, row: int) -> None:
        """Keeps the scripted token."""
        self.kept = self.backend.scores[row]

    def sample(self, row: int) -> int:
        """Returns the scripted token."""
        token = self.kept if row == KEPT else self.backend.scores[row]
        if token < 0:
            raise ComputationError("no number")
        return token

    def accept(self, token: int) -> bool:
        """Takes any token."""
        return True

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """Returns a certain token."""
        return TokenLogprob(token, self.backend.piece(token), 0.0, ())

    def close(self) -> None:
        """Counts itself."""
        self.backend.closed_samplers += 1
