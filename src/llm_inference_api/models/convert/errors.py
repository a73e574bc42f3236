"""What conversion refuses, in sentences that name the file or the field and what would be right."""

from collections.abc import Iterable


class ConversionError(ValueError):
    """A checkpoint that cannot become a GGUF file without changing what it computes."""


class UnsupportedArchitectureError(ConversionError):
    """The checkpoint's architecture has no family here."""

    def __init__(self, architecture: str, supported: Iterable[str]) -> None:
        self.architecture = architecture
        self.supported = tuple(sorted(supported))
        super().__init__(
            f"config.json: architecture {architecture!r} is not supported; those that are: {', '.join(self.supported)}"
        )
