"""Adds the generated stubs, which lie beside this project in the repository, and inside it in a source distribution."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STUBS = "llm_inference"


class StubsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Includes the package of the stubs in each distribution."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the stubs to what is built; an editable installation finds them where they are."""
        inside, beside = Path(self.root) / STUBS, Path(self.root).parent / "generated"
        source = inside if inside.is_dir() else beside / STUBS
        if version == "editable":
            build_data["force_include_editable"] = {}
            pth = Path(self.directory) / "_llm_inference_stubs.pth"
            pth.parent.mkdir(parents=True, exist_ok=True)
            pth.write_text(f"{source.parent}\n")
            build_data["force_include_editable"][str(pth)] = "_llm_inference_stubs.pth"
        else:
            build_data["force_include"][str(source)] = STUBS
