"""The models that stand for those of llama-server's tests: tiny ones with random weights, and all-MiniLM-L6-v2."""

from pathlib import Path

from gguf import GGUFReader

from tests.fakes import gguf

CONTEXT = 16384
END = 257
"""The token that ends a text."""
TEMPLATES = {
    "chatml": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama3": (
        "{% for m in messages %}"
        "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content + '<|eot_id|>' }}"
        "{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "command-r": (
        "{% for m in messages %}{{ '<|START_OF_TURN_TOKEN|><|' + {'assistant': 'CHATBOT'}.get(m.role, m.role | upper)"
        " + '_TOKEN|>' + m.content + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}"
    ),
}
"""Templates that llama.cpp has built in and calls by name."""
TEMPLATE_OF = {
    "DeepSeek-R1-Distill-Qwen-7B": "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "Hermes-2-Pro-Llama-3-8B": "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "Hermes-3-Llama-3.1-8B": "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "Llama-3.2-1B-Instruct": "meta-llama-Llama-3.2-3B-Instruct",
    "Llama-3.2-3B-Instruct": "meta-llama-Llama-3.2-3B-Instruct",
    "Meta-Llama-3.1-8B-Instruct": "meta-llama-Llama-3.1-8B-Instruct",
    "Phi-3.5-mini-instruct": "microsoft-Phi-3.5-mini-instruct",
    "Qwen2.5-1.5B-Instruct": "Qwen-Qwen2.5-7B-Instruct",
    "Qwen2.5-7B-Instruct": "Qwen-Qwen2.5-7B-Instruct",
    "Qwen2.5-Coder-3B-Instruct": "Qwen-Qwen2.5-7B-Instruct",
    "functionary-small-v3.2": "meetkai-functionary-medium-v3.2",
    "gemma-2-2b-it": "google-gemma-2-2b-it",
}
"""Which template, of those that llama.cpp's sources have, each checkpoint of the tests brings along."""


def template_file(repository: str) -> Path | None:
    """Returns the template of the checkpoint that a case names, such as `owner/gemma-2-2b-it-GGUF:Q4_K_M`, if known."""
    name = repository.partition("/")[2].partition("-GGUF")[0]
    return Path("../../../models/templates", f"{TEMPLATE_OF[name]}.jinja") if name in TEMPLATE_OF else None


def write_model(path: Path, template: str | None, *, infill: bool = False) -> None:
    """Writes the tiny model, with the template or the tests' own."""
    more = {"special": (*gguf.SPECIAL, *gguf.INFILL)} if infill else {}
    gguf.write_tiny_model(path, template=template or gguf.TEMPLATE, context_length=CONTEXT, **more)
    for tensor in GGUFReader(path, "r+").tensors:
        if tensor.name == "output.weight":
            tensor.data[END] = 0  # Less likely than others: the answers of the cases are long.
