"""The filter that every request passes first, see `guard.lua`."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from llm_inference_api.config.settings import Settings
from llm_inference_api.envoy.extensions import typed

ANY = "*"


@dataclass(frozen=True, slots=True)
class PagePolicy:
    """Which pages' requests are carried out, beyond what CORS lets them read.

    A page may send some requests anywhere without asking first. With `origins` of `*` any may; with a list, others are
    refused. Where callers show a key, which no other page has, that is all. Otherwise, requests that a browser need not
    mark with an origin are kept out by their type of body, and without TLS, whose certificate no other name has, by
    their host name.
    """

    origins: Sequence[str] = (ANY,)
    hosts: Sequence[str] = ()
    """Host names of the service, besides `localhost`, addresses and those of the origins; `*` for any."""
    has_keys: bool = False
    has_tls: bool = False

    @property
    def is_closed(self) -> bool:
        """Whether only some origins may call."""
        return ANY not in self.origins

    @property
    def needs_json(self) -> bool:
        """Whether a body must have the media type of JSON."""
        return self.is_closed and not self.has_keys

    @property
    def known_hosts(self) -> tuple[str, ...] | None:
        """Names by which callers may call the service, in lower case; None for any."""
        if not self.needs_json or self.has_tls or ANY in self.hosts:
            return None
        listed = (urlsplit(origin).hostname or "" for origin in self.origins)
        return tuple(sorted({name.lower().rstrip(".") for name in (*self.hosts, *listed)}))


def page_policy(settings: Settings, more_hosts: Iterable[str] = ()) -> PagePolicy:
    """Returns the policy of the settings. `more_hosts` are further names of the machine that the service runs on."""
    has_keys = settings.api_keys is not None or settings.api_keys_file is not None
    hosts = (*settings.allowed_hosts, *more_hosts)
    return PagePolicy(settings.cors_allowed_origins, hosts, has_keys, has_tls=settings.ssl_enabled)


def guard_filter(policy: PagePolicy) -> dict[str, Any]:
    """Returns the filter."""
    hosts = policy.known_hosts
    fields = (
        f"origins = {_set(policy.origins) if policy.is_closed else 'nil'}",
        f"hosts = {'nil' if hosts is None else _set(hosts)}",
        f"json = {str(policy.needs_json).lower()}",
    )
    script = files("llm_inference_api.envoy").joinpath("guard.lua").read_text()
    source = f"local POLICY = {{{', '.join(fields)}}}\n\n{script}"
    config = typed("extensions.filters.http.lua.v3.Lua", default_source_code={"inline_string": source})
    return {"name": "guard", "typed_config": config}


def _set(texts: Iterable[str]) -> str:
    """Returns a Lua table with the texts in lower case as keys."""
    quoted = (json.dumps(text.lower(), ensure_ascii=False) for text in texts)
    return f"{{{', '.join(f'[{text}] = true' for text in quoted)}}}"
