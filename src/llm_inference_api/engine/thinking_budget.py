"""Closes the thoughts of an answer when they have had their tokens."""

from collections import deque
from collections.abc import Callable, Sequence

from llm_inference_api.engine.backend import Sampler
from llm_inference_api.engine.output import OutputText
from llm_inference_api.requests.events import TokenLogprob

_LONGEST_CLOSING = 64
"""Tokens of what closes thoughts that the model itself may have begun with."""
_LONGEST_WAIT = 3
"""Tokens for which a character that has begun is waited for: one of UTF-8 has 4 bytes at most."""


class BudgetedSampler:
    """An `engine.backend.Sampler` that ends thoughts beyond a budget: it gives the tokens of what closes them.

    The budget is that of the whole answer. Thoughts that begin after it is spent are closed at once.
    """

    def __init__(
        self, sampler: Sampler, output: OutputText, budget: int, tokenize: Callable[[str], Sequence[int]]
    ) -> None:
        """Creates a sampler for one answer.

        Args:
            sampler: Samples all other tokens.
            output: The text of the answer, which knows whether thoughts are open.
            budget: Number of tokens of thoughts.
            tokenize: Returns the tokens of what closes thoughts.
        """
        self._sampler = sampler
        self._output = output
        self._left = budget
        self._tokenize = tokenize
        self._newest: deque[int] = deque(maxlen=_LONGEST_CLOSING)
        """The newest tokens, which may have begun to close the thoughts."""
        self._forced: deque[int] = deque()
        self._waited = 0

    def sample(self, row: int) -> int:
        """See `Sampler.sample`."""
        if not self._forced and self._output.closing is not None:
            self._count(self._output.closing)
        if self._forced:
            token = self._forced.popleft()
            if self._sampler.accept(token):
                return token
            self._forced.clear()
        token = self._sampler.sample(row)
        self._newest.append(token)
        return token

    def _count(self, closing: str) -> None:
        """Counts a token of thoughts; beyond the budget, what closes them is due instead."""
        if self._left > 0:
            self._left -= 1
            return
        if self._output.is_inside_character and self._waited < _LONGEST_WAIT:
            self._waited += 1
            return
        self._waited = 0
        tokens = self._tokenize(closing)
        self._forced.extend(tokens[_begun(tokens, list(self._newest)) :])

    def is_ready(self) -> bool:
        """See `Sampler.is_ready`."""
        return self._sampler.is_ready()

    def keep(self, row: int) -> None:
        """See `Sampler.keep`."""
        self._sampler.keep(row)

    def accept(self, token: int) -> bool:
        """See `Sampler.accept`."""
        return self._sampler.accept(token)

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """See `Sampler.logprob`."""
        return self._sampler.logprob(row, token, top)

    def close(self) -> None:
        """See `Sampler.close`."""
        self._sampler.close()


def _begun(tokens: Sequence[int], newest: Sequence[int]) -> int:
    """Returns how many of the tokens the newest ones are."""
    sizes = range(min(len(tokens) - 1, len(newest)), 0, -1)
    return next((size for size in sizes if list(newest[-size:]) == list(tokens[:size])), 0)
