"""What llama.cpp allocates for a model's sequences, by its log."""

import re
from pathlib import Path

from llm_inference_api.backends.llama.backend import ContextSizes, LlamaBackend, LlamaModel, route_log
from llm_inference_api.requests.engine_config import GpuChoice


def allocated(path: Path, cells: int, seats: int) -> tuple[float, float]:
    """Returns the MiB of keys and values, and of states."""
    lines: list[str] = []
    route_log(lambda _, line: lines.append(line), verbose=False)
    LlamaBackend(LlamaModel(path, GpuChoice(layers=0), lambda _: None), ContextSizes(cells, seats, 64, 1)).close()
    log = "\n".join(lines)
    found = (re.findall(rf"{kind} buffer size = +([0-9.]+) MiB", log) for kind in ("KV", "RS"))
    keys, states = (sum(map(float, sizes)) for sizes in found)
    return keys, states
