"""Which requests of pages are carried out, by the settings."""

import pytest

from llm_inference_api.config.settings import Settings
from llm_inference_api.envoy.guard import PagePolicy, guard_filter, page_policy

LIST = ("https://Good.example:8443", "https://other.example")


def script(policy: PagePolicy) -> str:
    """Returns the first line of the filter's script."""
    source: str = guard_filter(policy)["typed_config"]["default_source_code"]["inline_string"]
    return source.partition("\n")[0]


def test_any_page_may_call_by_default() -> None:
    """Then neither names nor types matter, as any page may ask directly."""
    policy = page_policy(Settings(), ["machine"])
    assert (policy.is_closed, policy.needs_json, policy.known_hosts) == (False, False, None)
    assert script(policy) == "local POLICY = {origins = nil, hosts = nil, json = false}"


def test_list_makes_names_and_types_matter() -> None:
    """The hosts of its origins are known, whatever their port and case."""
    policy = page_policy(Settings(cors_allowed_origins=LIST, allowed_hosts=("LLM.internal.",)), ["Machine"])
    assert policy.needs_json
    assert policy.known_hosts == ("good.example", "llm.internal", "machine", "other.example")


@pytest.mark.parametrize("variables", [{"api_keys": "ann:0123456789abcdef"}, {"api_keys_file": "/keys"}])
def test_keys_make_names_and_types_free(variables: dict[str, str]) -> None:
    """Wherever they are kept, and also where the file is on another machine."""
    policy = page_policy(Settings(cors_allowed_origins=LIST, **variables))  # type: ignore[arg-type]
    assert (policy.is_closed, policy.needs_json, policy.known_hosts) == (True, False, None)


@pytest.mark.parametrize("policy", [PagePolicy(LIST, has_tls=True), PagePolicy(LIST, ["*"])])
def test_certificate_or_star_makes_names_free(policy: PagePolicy) -> None:
    """A page of another name cannot reach a service with a certificate; types still matter."""
    assert policy.known_hosts is None
    assert policy.needs_json


def test_text_of_a_setting_stays_a_text_of_the_script() -> None:
    """Whatever is in an origin, it ends no string of Lua."""
    assert script(PagePolicy(['https://a"]=1,["\\b'], ["*"])) == (
        'local POLICY = {origins = {["https://a\\"]=1,[\\"\\\\b"] = true}, hosts = nil, json = true}'
    )
