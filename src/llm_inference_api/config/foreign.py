"""Variables of the environment that look like settings and are none: misspelt ones, and those that Kubernetes sets.

Kubernetes gives each container variables about all services of its namespace, such as `LLM_INFERENCE_PORT` with
`tcp://10.0.0.1:8091` for a service of the name llm-inference (https://kubernetes.io/docs/concepts/services-networking/
service/#environment-variables). Nobody has set them for this program, so they must not stop its start.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

_PREFIXES = ("LLM_", "INFRS_")
_SECTIONS = "__"
"""In the names of infrs's variables, which `config.sources` checks."""
_OF_CLIENTS = ("LLM_ADDRESS", "LLM_API_KEY", "LLM_TLS_CA", "LLM_TLS_CERT", "LLM_TLS_KEY")
"""Variables of the commands that call a service."""
_ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+:\d+")
_ABOUT_SERVICES = re.compile(r".+_SERVICE_(HOST|PORT(_.+)?)|.+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")


def is_service_address(name: str, value: object) -> bool:
    """Whether the variable is the address of a service, which Kubernetes has set."""
    return name.upper().endswith("_PORT") and isinstance(value, str) and _ADDRESS.fullmatch(value) is not None


def warnings(environment: Mapping[str, str], variables: Collection[str]) -> Iterator[str]:
    """Yields a sentence for each variable that was set in vain, by its name.

    Args:
        environment: The environment.
        variables: Names of all settings.
    """
    for name, value in sorted(environment.items()):
        if is_service_address(name, value):
            if _is_known(name, variables):
                what = "the address of a service, which Kubernetes has set (enableServiceLinks)"
                yield f"{name}: {value} is {what}; it is ignored"
        elif _is_foreign(name, variables):
            near = _nearest(name, variables)
            yield f"{name}: is not a setting; {f'did you mean {near}?' if near else 'docs/settings.md has all'}"


def misspelt(environment: Mapping[str, str], variables: Collection[str]) -> Iterator[str]:
    """Yields a sentence for each variable whose name is nearly that of a setting; see `warnings`.

    Other programs have variables with the same prefix, and people who use both need not read of them at each command.
    """
    for name, value in sorted(environment.items()):
        is_foreign = _is_foreign(name, variables) and not is_service_address(name, value)
        if is_foreign and (near := _nearest(name, variables)):
            yield f"{name}: is not a setting; did you mean {near}?"


def _is_known(name: str, variables: Collection[str]) -> bool:
    upper = name.upper()
    return upper in variables or upper in _OF_CLIENTS or (upper.startswith("INFRS_") and _SECTIONS in upper)


def _is_foreign(name: str, variables: Collection[str]) -> bool:
    """Whether the name looks like that of a setting and is none, nor one that Kubernetes gives."""
    upper = name.upper()
    return upper.startswith(_PREFIXES) and not _is_known(name, variables) and not _ABOUT_SERVICES.fullmatch(upper)


def _nearest(name: str, variables: Collection[str]) -> str | None:
    return next(iter(get_close_matches(name.upper(), (*variables, *_OF_CLIENTS), 1, 0.75)), None)
