"""Settings from `config.json` and from the environment variables of infrs, the service that this one replaces.

infrs has a `config.json` with two sections, and variables such as `INFRS_SERVER__PORT` that take precedence over it:

```json
{"server": {"host": "127.0.0.1", "port": 3000},
 "model": {"model_id": "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "revision": "main", "dtype": "float32"}}
```

The file may also contain any setting by its variable's name: `{"LLM_MAX_CONCURRENT_REQUESTS": 4}`.
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
"""Our variable for each key of infrs; `revision` has none, as it becomes part of LLM_ALLOWED_MODELS."""
_SECTIONS = frozenset(section for section, _ in KEYS)
_MODEL_ID, _REVISION = ("model", "model_id"), ("model", "revision")

Key = tuple[str, str]


class Found(NamedTuple):
    """A setting's value and its place, such as `config.json: server.port`."""

    value: object
    place: str


def find(environment: Mapping[str, str], variables: AbstractSet[str], path: Path | None) -> dict[str, Found]:
    """Returns the settings of the file and of infrs's variables, by our variable names.

    Args:
        environment: Environment variables.
        variables: Names of all our variables.
        path: The file; None for `config.json` in the working directory, if it has one of infrs's sections.

    Raises:
        ValueError: The file cannot be read, or a key is unknown; the text has one line per problem.
    """
    document, name = _read(path)
    problems: list[str] = []
    keys = _from_file(document, name, problems) | _from_environment(environment, problems)
    found = {key: Found(value, f"{name}: {key}") for key, value in document.items() if key in variables}
    unknown = sorted(document.keys() - found.keys() - _SECTIONS)
    problems += [f"{name}: {key} is not a setting" for key in unknown]
    if problems:
        raise ValueError("\n".join(problems))
    return found | _translated(keys)


def _read(path: Path | None) -> tuple[dict[str, object], str]:
    file = path or Path(FILE)
    place = f"{FILE_VARIABLE}: {file}" if path else FILE
    try:
        document = json.loads(file.read_text())
    except FileNotFoundError:
        if path is None:
            return {}, FILE
        raise ValueError(f"{FILE_VARIABLE}: {path} does not exist") from None
    except RecursionError as error:
        raise ValueError(f"{place} cannot be read: its JSON is nested too deeply") from error
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{place} cannot be read: {problem}") from error
    is_ours = isinstance(document, dict) and (path is not None or bool(_SECTIONS & document.keys()))
    if not is_ours and path is not None:
        raise ValueError(f"{place} is not a JSON object")
    # Without a path, any other program's config.json is ignored, such as that of a model's directory.
    return (document if is_ours else {}), str(file)


def _from_file(document: Mapping[str, object], name: str, problems: list[str]) -> dict[Key, Found]:
    found = {}
    for section in sorted(_SECTIONS & document.keys()):
        values = document[section]
        if not isinstance(values, dict):
            problems.append(f"{name}: {section} is not a JSON object")
            continue
        for key, value in values.items():
            if (section, key) not in KEYS:
                problems.append(f"{name}: {section}.{key} is not a setting")
            elif value is not None:
                found[section, key] = Found(value, f"{name}: {section}.{key}")
    return found


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[Key, Found]:
    found = {}
    for variable, value in environment.items():
        # Others with the prefix are Kubernetes' or misspelt, see `config.foreign`.
        if variable.upper().startswith(_PREFIX) and _DELIMITER in variable and value:
            section, _, key = variable[len(_PREFIX) :].lower().partition(_DELIMITER)
            if (section, key) in KEYS:
                found[section, key] = Found(value, variable)
            else:
                problems.append(f"{variable}: is not a setting")
    return found


def _translated(keys: Mapping[Key, Found]) -> dict[str, Found]:
    found = {variable: keys[key] for key, variable in KEYS.items() if variable and key in keys}
    if _MODEL_ID in keys:
        model, place = keys[_MODEL_ID]
        # Requests name the model by its id without the revision.
        source = f"{model}#{keys[_REVISION].value}" if _REVISION in keys else model
        found["LLM_ALLOWED_MODELS"] = Found(f"{model}={source}", place)
    return found
