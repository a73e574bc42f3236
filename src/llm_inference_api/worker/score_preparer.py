"""Prepares requests for scores: the tokens of all texts, and the sequences that compute them."""

import secrets
import time
from typing import NamedTuple

from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.score_paths import ScoredText, ScorePaths
from llm_inference_api.engine.scores import GivenTokens, NoSampler, ScoreBoard
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.scoring import Branch, Scoring, Words
from llm_inference_api.requests.sizes import check_scores
from llm_inference_api.worker.preparer import Preparer


class _BranchFrame(NamedTuple):
    """The tokens around the text of a branch."""

    before: list[int]
    after: list[int]
    """What the chat template writes behind the last message, up to the beginning of the answer."""


class ScorePreparer:
    """Prepares requests for scores for one model."""

    def __init__(self, preparer: Preparer) -> None:
        self._preparer = preparer

    def prepare(self, request: GenerationRequest, arrived_at: float | None = None) -> tuple[Sequence]:
        """Returns the request's first sequence alone; it has those that follow it.

        Args:
            request: The request, which has a `Scoring`.
            arrived_at: Monotonic time in seconds from which its time in the queue counts; None: now.

        Raises:
            InvalidFieldError: A text has no tokens, or the chat template rejects the messages.
            ContextLengthError: The prompt, or it and a text together, do not fit the context.
        """
        scoring = request.scoring
        assert scoring is not None
        submitted_at = time.monotonic() if arrived_at is None else arrived_at
        frame = self._frame(request, scoring)
        if (size := len(frame.before) + len(frame.after)) >= self._preparer.context_length:
            raise ContextLengthError(size, self._preparer.context_length, True, request.prompt_field)
        texts = [text for branch in scoring.branches for text in self._texts(branch, frame)]
        check_scores(sum(len(text.tokens) - text.first for text in texts), scoring.top)
        paths = ScorePaths(frame.before, texts)
        return (self._sequences(request, paths, scoring.top, submitted_at),)

    def _sequences(self, request: GenerationRequest, paths: ScorePaths, top: int, submitted_at: float) -> Sequence:
        given = [GivenTokens(wanted, top) for wanted in paths.wanted()]
        board = ScoreBoard(paths, given)
        sequences = [
            Sequence(
                request=request,
                tokens=paths.tokens(path),
                max_tokens=0,
                output=OutputText(()),
                sampler=NoSampler(),
                submitted_at=submitted_at,
                given=one,
                board=board,
                is_follower=path > 0,
            )
            for path, one in enumerate(given)
        ]
        for path in range(1, len(paths)):
            sequences[paths.parent(path)].followers.append(sequences[path])
        return sequences[0]

    def _frame(self, request: GenerationRequest, scoring: Scoring) -> _BranchFrame:
        if not request.is_chat:
            return _BranchFrame(self._preparer.tokens(request), [])
        mark = f"\ufdd1{secrets.token_hex(8)}\ufdd1"
        before, after = self._preparer.tokens_around(request, mark, closes_thoughts=scoring.closes_thoughts)
        return _BranchFrame(before, [*after, *self._preparer.continued(scoring.opening, "messages")])

    def _texts(self, branch: Branch, frame: _BranchFrame) -> list[ScoredText]:
        between = self._preparer.continued(branch.text, branch.field) if branch.text else []
        found = []
        for words in branch.continuations:
            tokens = self._tokens(words, branch.field)
            if not tokens:
                raise InvalidFieldError(branch.field, "has no tokens for this model; write at least one word")
            text = ScoredText((*between, *frame.after, *tokens), len(between) + len(frame.after))
            if (size := len(frame.before) + len(text.tokens)) > self._preparer.context_length:
                raise ContextLengthError(size, self._preparer.context_length, True, branch.field)
            found.append(text)
        return found

    def _tokens(self, words: Words, field: str) -> list[int]:
        if isinstance(words, str):
            return self._preparer.continued(words, field)
        return self._preparer.known(words, field)
