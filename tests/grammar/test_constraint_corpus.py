"""Schemas of all kinds, each through the real mask, sampler and model: what ends with STOP is valid."""

import datetime as dt
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker

import llm_inference_api.demo
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.constraint import Constraint, Language
from llm_inference_api.requests.events import FinishReason
from tests.engine.in_process import InProcess
from tests.fakes.gguf import write_tiny_model
from tests.fakes.schemas import Schema, schemas

pytestmark = pytest.mark.filterwarnings("ignore:llama_token_get_attr")  # llguidance calls it.
DEMO = Path(llm_inference_api.demo.__file__).parent / "demo.gguf"
CORPUS = schemas(300, seed=1)
FORMATS = FormatChecker()
LABEL = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"


@FORMATS.checks("date-time", ValueError)
def is_time_of_a_day(value: object) -> bool:
    return not isinstance(value, str) or (
        is_time(value[11:]) and value[10] in "Tt" and bool(dt.date.fromisoformat(value[:10]))
    )


@FORMATS.checks("time", ValueError)
def is_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    without_leap_second = re.sub(r"^(..:..):60", r"\1:59", value.upper())
    return dt.time.fromisoformat(without_leap_second).tzinfo is not None


@FORMATS.checks("hostname")
def is_hostname(value: object) -> bool:
    return not isinstance(value, str) or re.fullmatch(rf"{LABEL}(\.{LABEL})*", value) is not None


def run(model: Path, corpus: list[Schema], max_tokens: int) -> Counter[str]:
    """Returns how many answers ended in which way, once it has checked the finished ones."""
    running = InProcess(model)
    for index, schema in enumerate(corpus):
        running.submit(str(index), json_schema(schema), max_tokens, seed=index)
    running.finish()
    ends: Counter[str] = Counter()
    for schema, answer in zip(corpus, running.answers.values(), strict=True):
        if answer.error is not None:
            assert isinstance(answer.error, InvalidFieldError), schema
            assert str(answer.error).startswith("json_schema: "), schema
            ends["REFUSED"] += 1
            continue
        assert answer.reason is not None, schema
        ends[answer.reason.value] += 1
        if answer.reason is FinishReason.STOP:
            Draft202012Validator(schema, format_checker=FORMATS).validate(json.loads(answer.text))
    return ends


def json_schema(schema: Schema) -> Constraint:
    return Constraint(Language.JSON_SCHEMA, json.dumps(schema), "json_schema")


def test_corpus_is_valid_and_varied() -> None:
    """Each schema is one, all are different, and each kind of keyword is there many times."""
    for schema in CORPUS:
        Draft202012Validator.check_schema(schema)
    texts = [json.dumps(schema) for schema in CORPUS]
    assert len(set(texts)) >= 260
    for keyword in ("$ref", "anyOf", "allOf", "enum", "const", "pattern", "format", "multipleOf", "prefixItems"):
        assert sum(f'"{keyword}": ' in text for text in texts) >= 10, keyword


def test_finished_answers_of_random_weights_are_valid(tiny_model: Path) -> None:
    """A model that knows nothing follows every schema, and few of them are refused or never ended."""
    ends = run(tiny_model, CORPUS, max_tokens=500)
    assert ends["STOP"] >= 270, ends
    assert ends["REFUSED"] == 6, ends


def test_finished_answers_of_longer_tokens_are_valid(tmp_path: Path) -> None:
    """So does one whose tokens are longer, and begin or end within the parts of a text."""
    ends = run(write_tiny_model(tmp_path / "long.gguf", vocabulary_of=DEMO), CORPUS, max_tokens=500)
    assert ends["STOP"] >= 270, ends
    assert ends["REFUSED"] == 6, ends


def test_finished_answers_of_the_demo_are_valid() -> None:
    """The demo model, which has learnt what usually follows, follows them too."""
    ends = run(DEMO, CORPUS[:60], max_tokens=150)
    assert ends["STOP"] >= 20, ends  # How many end in time is a matter of what the model was trained on.
