import stat
from pathlib import Path

from llm_inference_api.envoy.files import write_files


def test_bootstrap_is_not_for_everybody_to_read(tmp_path: Path) -> None:
    """It may hold the headers, with the password, of a collector."""
    write_files(tmp_path / "envoy", "{}", None)
    assert not (tmp_path / "envoy" / "bootstrap.json").stat().st_mode & stat.S_IRWXO
