"""What sentence-transformers does around a checkpoint: the text's length and case, and the pooling of token vectors."""

from dataclasses import dataclass
from pathlib import Path, PurePath

from gguf import PoolingType

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError

_MODULES = "modules.json"
_POOLING = {
    "mean": PoolingType.MEAN,
    # The mean times a number; the vectors that are served have unit length.
    "mean_sqrt_len_tokens": PoolingType.MEAN,
    "cls": PoolingType.CLS,
    "lasttoken": PoolingType.LAST,
}
"""llama.cpp's pooling by `pooling_mode`."""
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""`pooling_mode` by the flags that sentence-transformers wrote before version 5.5."""


@dataclass(frozen=True, slots=True)
class SentenceModules:
    """The modules of a checkpoint; those of one without modules.json by default."""

    pooling: PoolingType | None = None
    """None where the checkpoint does not say."""
    max_length: int | None = None
    """Number of tokens, special ones included, after which sentence-transformers truncates a text."""
    lowercases: bool = False
    """Whether texts are converted to lower case, whatever the tokenizer does."""

    @classmethod
    def read(cls, directory: Path) -> "SentenceModules":
        """Returns the modules of a checkpoint's directory.

        Raises ConversionError for a module or an option with which the service would compute other vectors.
        """
        if not (directory / _MODULES).is_file():
            return cls()
        settings = Config.read_optional(directory / "sentence_bert_config.json")
        settings.require("transformer_task", ("feature-extraction",), "feature-extraction")
        # Requests bring their own prompts.
        Config.read_optional(directory / "config_sentence_transformers.json").require("default_prompt_name", (None,))
        return cls(
            _pooling(directory / _pooling_directory(Config.read_list(directory / _MODULES)) / "config.json"),
            settings.integer("max_seq_length") if "max_seq_length" in settings else None,
            settings.flag("do_lower_case", default=False),
        )


def _pooling_directory(modules: list[Config]) -> str:
    """Returns the directory of the pooling module."""
    kinds = [module.text("type").rpartition(".")[2] for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or set(kinds[2:]) - {"Normalize"}:
        raise ConversionError(
            f"{_MODULES}: the modules must be Transformer, Pooling and perhaps Normalize, are {', '.join(kinds)}"
        )
    transformer, pooling = (module.text("path", "") for module in modules[:2])
    if transformer not in ("", "."):
        raise modules[0].error("path", "'', beside modules.json", transformer)
    if not pooling or PurePath(pooling).name != pooling:
        raise modules[1].error("path", f"a directory beside {_MODULES}", pooling)
    return pooling


def _pooling(path: Path) -> PoolingType:
    config = Config.read(path)
    mode = config.values.get("pooling_mode")
    if mode is None:
        modes = [mode for flag, mode in _POOLING_FLAGS.items() if config.flag(flag, default=False)] or ["mean"]
    else:
        modes = list(mode) if isinstance(mode, list) else [mode]
    if len(modes) != 1 or not isinstance(modes[0], str) or modes[0] not in _POOLING:
        raise config.error("pooling_mode", "one of " + ", ".join(_POOLING), modes)
    return _POOLING[modes[0]]
