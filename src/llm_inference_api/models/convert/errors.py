"""Errors of a conversion. Each message names the file or the field at fault and what is accepted."""

from collections.abc import Iterable


class ConversionError(ValueError):
    """The checkpoint cannot be converted, or not without a change in what the model computes."""


class UnsupportedArchitectureError(ConversionError):
    """The architecture that config.json names has no family here."""

    architecture: str
    """The first entry of config.json's `architectures`."""
    supported: tuple[str, ...]
    """All architectures that can be converted, sorted."""

    def __init__(self, architecture: str, supported: Iterable[str]) -> None:
        self.architecture = architecture
        self.supported = tuple(sorted(supported))
        super().__init__(
            f"config.json: architecture {architecture!r} is not supported; must be one of {', '.join(self.supported)}"
        )
