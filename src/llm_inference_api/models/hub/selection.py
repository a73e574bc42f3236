"""Selects the files of a repository that make up a model. Pickles are never selected: loading one runs code."""

import re
from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase

from llm_inference_api.errors import HubError
from llm_inference_api.requests.reference import parts

FILE_NOT_FOUND = "HUB_FILE_NOT_FOUND"
FILE_NOT_NAMED = "HUB_FILE_NOT_NAMED"
CONFIG = "config.json"
INDEX_SUFFIX = ".safetensors.index.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.tiktoken",
)
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "*.tiktoken")
_MODULES = "modules.json"
_MODULE_FILES = (_MODULES, "sentence_bert_config.json", "config_sentence_transformers.json")
"""What sentence-transformers does around the model."""
_MODULE_CONFIG = re.compile(r"\d+_\w+/config\.json", re.ASCII)
_QUANTISATION_CONFIGS = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
_TEMPLATES = "additional_chat_templates/*.jinja"
_ADAPTER = "adapter_config.json"
_PART = re.compile(r"model-\d{5}-of-\d{5}\.safetensors", re.ASCII)
_NAMES_SHOWN = 30

Select = Callable[[str, Collection[str]], tuple[str, ...]]
"""Takes a repository's name and its file names; returns the wanted ones.

The last of them is fetched last: its presence marks the set as complete. Raises HubError if a needed file is missing.
"""


def select_gguf(file: str) -> Select:
    """Returns a function that selects a GGUF file, or all parts of a split one."""

    def select(repo: str, names: Collection[str]) -> tuple[str, ...]:
        missing = sorted(set(parts(file)) - (present := set(names)))
        if missing:
            raise _no_such_file(repo, missing[0], present)
        return parts(file)

    return select


def select_checkpoint(repo: str, names: Collection[str]) -> tuple[str, ...]:
    """Selects the files of a safetensors checkpoint. See `Select`."""
    top = sorted(name for name in set(names) if "/" not in name)
    if gguf := _models(names):
        raise HubError(FILE_NOT_NAMED, f"repository {repo} holds GGUF files; name one of them: {_listed(repo, gguf)}")
    weights = _weights(top)
    if _ADAPTER in top and not {"model.safetensors", "model" + INDEX_SUFFIX} & set(top):
        made_for = "merge it into the model that it was made for"
        raise HubError("HUB_NO_WEIGHTS", f"repository {repo} holds a LoRA adapter ({_ADAPTER}), no model; {made_for}")
    if not weights:
        raise HubError("HUB_NO_WEIGHTS", f"repository {repo} holds neither GGUF nor safetensors files{_hint(top)}")
    if CONFIG not in top:
        other = " but params.json, the layout of Mistral or Meta" if "params.json" in top else ""
        raise HubError(FILE_NOT_FOUND, f"repository {repo} has no {CONFIG}{other}; it is not a complete model")
    read = (TOKENIZER_CONFIG, *_TOKENIZER_FILES, *_MODULE_FILES, *_QUANTISATION_CONFIGS)
    others = [name for name in top if _matches(name, read)]
    others += sorted(name for name in set(names) if fnmatchcase(name, _TEMPLATES))
    if _MODULES in top:
        others += sorted(filter(_MODULE_CONFIG.fullmatch, set(names)))
    return (*weights, *others, CONFIG)


def select_tokenizer(repo: str, names: Collection[str]) -> tuple[str, ...]:
    """Selects the files of a chat template and tokenizer. See `Select`."""
    top = sorted(name for name in set(names) if "/" not in name)
    if not any(_matches(name, _VOCABULARIES) for name in top):
        raise HubError("HUB_NO_TOKENIZER", f"repository {repo} holds no tokenizer; name another one after @")
    config = (TOKENIZER_CONFIG,) if TOKENIZER_CONFIG in top else ()
    return (*(name for name in top if _matches(name, _TOKENIZER_FILES)), *config)


def _no_such_file(repo: str, file: str, names: Iterable[str]) -> HubError:
    """Returns the error for a file that is not in the repository."""
    gguf = _models(names)
    others = f"name one of {_listed(repo, gguf)}" if gguf else "it has no GGUF files"
    return HubError(FILE_NOT_FOUND, f"repository {repo} has no file {file}; {others}")


def _models(names: Iterable[str]) -> list[str]:
    """Returns the GGUF files; for split ones the first part."""
    return sorted(name for name in names if name.lower().endswith(".gguf") and parts(name)[0] == name)


def _weights(top: list[str]) -> list[str]:
    """Returns the weights in transformers' order of preference: a single file, numbered parts, any safetensors."""
    if "model.safetensors" in top:
        return ["model.safetensors"]
    if "model" + INDEX_SUFFIX in top:
        return ["model" + INDEX_SUFFIX, *filter(_PART.fullmatch, top)]
    return [name for name in top if name.endswith((INDEX_SUFFIX, ".safetensors"))]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _hint(top: list[str]) -> str:
    pickles = any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in top)
    return "; pickles (.bin, .pt) run code when they are loaded and are not supported" if pickles else ""


def _listed(repo: str, files: list[str]) -> str:
    more = f" and {len(files) - _NAMES_SHOWN} more" if len(files) > _NAMES_SHOWN else ""
    return ", ".join(f"{repo}:{file}" for file in files[:_NAMES_SHOWN]) + more
