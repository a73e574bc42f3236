"""lm-evaluation-harness with the service as its `local-completions`: its scores are those of llama.cpp."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as C  # noqa: N812, TID251 - makes the oracle's file.
import pytest
from gguf import GGUFReader

from llm_inference_api.requests.bundled import BUNDLED
from tests.e2e import programs
from tests.e2e.service import RunningService, clean_environment, run_service
from tests.fakes.llama import load_oracle

LM_EVAL = programs.program("lm-eval", "lm_eval")
MODEL = "smollm2"
BF16 = 30
"""ggml's type of the values in the service's cache."""
TASKS = {
    "capitals": """
task: capitals
dataset_path: json
dataset_kwargs: {data_files: {test: capitals.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "The capital of {{country}} is"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
target_delimiter: " "
metric_list: [{metric: acc}]
""",
    "sentences": """
task: sentences
dataset_path: json
dataset_kwargs: {data_files: {test: sentences.jsonl}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{begin}}"
doc_to_target: "{{end}}"
target_delimiter: ""
metric_list: [{metric: perplexity, aggregation: perplexity, higher_is_better: false}, {metric: acc}]
""",
}
DATA: dict[str, list[dict[str, Any]]] = {
    "capitals": [
        {"country": "France", "choices": ["Paris", "Rome", "Buenos Aires"], "answer": 0},
        {"country": "Italy", "choices": ["Madrid", "Rome", "Ouagadougou"], "answer": 1},
        {"country": "Japan", "choices": ["Tokyo", "Kuala Lumpur"], "answer": 0},
    ],
    "sentences": [
        {"begin": "The sun rises in the", "end": " east and sets in the west."},
        {"begin": "One, two, three,", "end": " four, five, six"},
        {"begin": "Größe: 12 345 µm.", "end": "\n\n¿Qué? 你好"},
    ],
}

pytestmark = [
    *programs.needs(LM_EVAL, "lm-evaluation-harness is not installed (`make clients`)"),
    pytest.mark.skipif(BUNDLED[MODEL].path() is None, reason=f"{MODEL} is not installed"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model with its weights in F32: quantized ones differ by 0.2 from one of llama.cpp's kernels to another."""
    path = tmp_path_factory.mktemp("model") / "model.gguf"
    parameters = C.llama_model_quantize_default_params()
    parameters.ftype, parameters.allow_requantize = C.LLAMA_FTYPE_ALL_F32, True
    assert C.llama_model_quantize(bytes(BUNDLED[MODEL].path()), bytes(path), parameters) == 0
    return path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[RunningService]:
    """A service with the model."""
    with run_service(tmp_path_factory.mktemp("service"), model.parent, LLM_ALLOWED_MODELS=model.name) as running:
        yield running


def write_tokenizer(directory: Path, model: Path) -> None:
    """Writes the tokenizer of a model's file in the form of `tokenizers`, with which the harness cuts texts."""
    fields = GGUFReader(model).fields
    tokens = [str(token) for token in fields["tokenizer.ggml.tokens"].contents()]
    kinds = fields["tokenizer.ggml.token_type"].contents()
    special = [index for index, kind in enumerate(kinds) if kind == 3]
    document = {
        "version": "1.0",
        "added_tokens": [
            {"id": index, "content": tokens[index], "special": True, "normalized": False}
            | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
            for index in special
        ],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [str(merge) for merge in fields["tokenizer.ggml.merges"].contents()],
        },
    }
    (directory / "tokenizer.json").write_text(json.dumps(document))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "bos_token": "<|im_start|>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))


def samples(service: RunningService, model: Path, directory: Path) -> Iterator[tuple[str, str, float, bool]]:
    """Yields what the harness found: context, continuation, log-likelihood and whether it is the greedy one."""
    write_tokenizer(directory, model)
    for name, task in TASKS.items():
        (directory / f"{name}.yaml").write_text(task.replace(f"{name}.jsonl", str(directory / f"{name}.jsonl")))
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in DATA[name]))
    arguments = f"model={model.name},base_url={service.url}/v1/completions,tokenizer={directory},num_concurrent=4"
    subprocess.run(
        [
            *(LM_EVAL, "run", "--model", "local-completions", "--model_args", arguments, "--tasks", ",".join(TASKS)),
            *("--include_path", directory, "--log_samples", "--output_path", directory / "out", "--batch_size", "2"),
        ],
        env={**clean_environment(), "HF_HOME": str(directory / "home"), "HF_HUB_OFFLINE": "1"},
        check=True,
    )
    for path in (directory / "out").rglob("samples_*.jsonl"):
        for line in path.read_text().splitlines():
            sample = json.loads(line)
            for asked, answers in zip(sample["arguments"].values(), sample["resps"], strict=True):
                ((score, greedy),) = answers
                yield asked["arg_0"], asked["arg_1"], float(score), greedy == "True"


def test_scores_are_those_of_llama_cpp(service: RunningService, model: Path, tmp_path: Path) -> None:
    """Of every continuation, where its cache has the same types."""
    oracle = load_oracle(model, n_ctx=512, logits_all=True, flash_attn=True, type_v=BF16)
    found = [*samples(service, model, tmp_path)]
    assert len(found) == sum(len(row.get("choices", " ")) for rows in DATA.values() for row in rows)
    for context, continuation, score, greedy in found:
        given = len(oracle.tokenize(context.encode(), add_bos=False, special=True))
        tokens = oracle.tokenize((context + continuation).encode(), add_bos=False, special=True)
        oracle.reset()
        oracle.eval(tokens)
        rows = [oracle.scores[at].astype(float) for at in range(given - 1, len(tokens) - 1)]
        logprobs = [oracle.logits_to_logprobs(row)[token] for row, token in zip(rows, tokens[given:], strict=True)]
        assert score == pytest.approx(sum(logprobs), abs=1e-4), (context, continuation)
        assert greedy == all(row.argmax() == token for row, token in zip(rows, tokens[given:], strict=True))
