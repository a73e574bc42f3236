"""Settings that do not come from variables of their own: `config.json`, and the variables of a replaced service.

That service (infrs) has a `config.json` of two sections, and variables such as `INFRS_SERVER__PORT` that go before it:

```json
{"server": {"host": "127.0.0.1", "port": 3000},
 "model": {"model_id": "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "revision": "main", "dtype": "float32"}}
```

Beside the sections, the file may name any setting by its variable: `{"LLM_MAX_CONCURRENT_REQUESTS": 4}`.
"""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

FILE = "config.json"
FILE_VARIABLE = "LLM_CONFIG_FILE"
_PREFIX, _DELIMITER = "INFRS_", "__"
KEYS = {
    ("server", "host"): "LLM_INFERENCE_HOSTNAME",
    ("server", "port"): "LLM_INFERENCE_PORT",
    ("model", "model_id"): "LLM_ALLOWED_MODELS",
    ("model", "revision"): None,
    ("model", "dtype"): "LLM_MODEL_DTYPE",
}
"""Our variable for each of that service's keys; the revision is part of what LLM_ALLOWED_MODELS says."""
_SECTIONS = frozenset(section for section, _ in KEYS)
_MODEL_ID, _REVISION = ("model", "model_id"), ("model", "revision")

Key = tuple[str, str]


class Found(NamedTuple):
    """A setting's value, and where it stands."""

    value: object
    place: str


def find(environment: Mapping[str, str], variables: AbstractSet[str], path: Path | None) -> dict[str, Found]:
    """Returns what the file and that service's variables say, by our variables.

    Without a path, `config.json` of the working directory is read if it is one of ours. Raises ValueError with a line
    for each thing in them that means nothing.
    """
    document, name = _read(path)
    problems: list[str] = []
    keys = _from_file(document, name, problems) | _from_environment(environment, problems)
    found = {key: Found(value, name) for key, value in document.items() if key in variables}
    unknown = sorted(document.keys() - found.keys() - _SECTIONS)
    problems += [f"{name}: {key} is no setting" for key in unknown]
    if problems:
        raise ValueError("\n".join(problems))
    return found | _translated(keys)


def _read(path: Path | None) -> tuple[dict[str, object], str]:
    file = path or Path(FILE)
    try:
        document = json.loads(file.read_text())
    except FileNotFoundError:
        if path is None:
            return {}, FILE
        raise ValueError(f"{FILE_VARIABLE}: {path} does not exist") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    is_ours = isinstance(document, dict) and (path is not None or bool(_SECTIONS & document.keys()))
    if not is_ours and path is not None:
        raise ValueError(f"{path} is no JSON object")
    # Other programs have a config.json too: a model's directory, for one.
    return (document if is_ours else {}), str(file)


def _from_file(document: Mapping[str, object], name: str, problems: list[str]) -> dict[Key, Found]:
    found = {}
    for section in sorted(_SECTIONS & document.keys()):
        values = document[section]
        if not isinstance(values, dict):
            problems.append(f"{name}: {section} is no JSON object")
            continue
        for key, value in values.items():
            if (section, key) not in KEYS:
                problems.append(f"{name}: {section}.{key} is no setting")
            elif value is not None:
                found[section, key] = Found(value, f"{name}: {section}.{key}")
    return found


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[Key, Found]:
    found = {}
    for variable, value in environment.items():
        if variable.upper().startswith(_PREFIX) and value:
            section, _, key = variable[len(_PREFIX) :].lower().partition(_DELIMITER)
            if (section, key) in KEYS:
                found[section, key] = Found(value, variable)
            else:
                problems.append(f"{variable}: is no setting")
    return found


def _translated(keys: Mapping[Key, Found]) -> dict[str, Found]:
    found = {variable: keys[key] for key, variable in KEYS.items() if variable and key in keys}
    if _MODEL_ID in keys:
        model, place = keys[_MODEL_ID]
        # Requests name the model by this id; the revision is not part of it.
        source = f"{model}#{keys[_REVISION].value}" if _REVISION in keys else model
        found["LLM_ALLOWED_MODELS"] = Found(f"{model}={source}", place)
    return found
