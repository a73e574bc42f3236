"""`Speeds`: how long the parts of a request took, and how many tokens a second that is."""

from dataclasses import dataclass

from llm_inference_api.requests.events import Times, Usage


@dataclass(frozen=True, slots=True)
class Speeds:
    """Durations in milliseconds, and rates in tokens per second, of a request whose usage has times."""

    usage: Usage

    @property
    def _times(self) -> Times:
        assert self.usage.times is not None
        return self.usage.times

    @property
    def queue_ms(self) -> float:
        """From the arrival to the computation of the prompt."""
        return 1000 * (self._times.started - self._times.queued)

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens that were computed."""
        return self.usage.prompt_tokens - self.usage.cached_tokens

    @property
    def prompt_ms(self) -> float:
        """To the first token of the answer."""
        return 1000 * (self._times.first_token - self._times.started)

    @property
    def prompt_per_second(self) -> float:
        """Prompt tokens computed per second."""
        return _rate(self.prompt_tokens, self.prompt_ms)

    @property
    def completion_tokens(self) -> int:
        """Tokens of all answers."""
        return self.usage.completion_tokens

    @property
    def completion_ms(self) -> float:
        """From the first token to the last."""
        return 1000 * (self._times.ended - self._times.first_token)

    @property
    def completion_per_second(self) -> float:
        """Tokens per second after the first one; 0 if there is no other."""
        return _rate(self.completion_tokens - 1, self.completion_ms)


def _rate(tokens: int, milliseconds: float) -> float:
    return 1000 * tokens / milliseconds if milliseconds > 0 else 0.0
