"""Downloads from Xet, the hub's deduplicated chunk store, which sends one file over several connections.

huggingface_hub and hf_xet implement the protocol and write the file sequentially. As of 2.4 and 1.8 they neither verify
the content nor resume a partial file; the caller does both.
"""

import re
from collections.abc import Callable
from pathlib import Path

from huggingface_hub.file_download import xet_get
from huggingface_hub.utils import build_hf_headers

from llm_inference_api.models.hub.client import RemoteFile

_QUERY = re.compile(r"\?[^\s)\"']*")
_LONGEST_REASON = 300


def receive(file: RemoteFile, path: Path, on_bytes: Callable[[int], None]) -> None:
    """Writes the file's content to the path.

    Calls `on_bytes` with the number of bytes written so far, from a thread of hf_xet. Raises whatever huggingface_hub
    and hf_xet raise, which share no base class; the path then holds a prefix of the file, or does not exist.
    """
    assert file.xet is not None
    done = 0

    class Bar:
        """Stands in for a tqdm bar, the only way in which `xet_get` reports progress."""

        def __init__(self, **_: object) -> None:
            pass

        def update(self, count: int) -> None:
            """Counts bytes that were written to the file."""
            nonlocal done
            done += count
            on_bytes(done)

        def update_transfer(self, _: int) -> None:
            """Reports that bytes arrived which cannot be written yet, so that the download is not taken for stalled."""
            on_bytes(done)

        def set_postfix_str(self, *_: object, **__: object) -> None:
            pass

        def set_transfer_postfix_str(self, *_: object, **__: object) -> None:
            pass

    xet_get(
        incomplete_path=path,
        xet_file_data=file.xet,
        headers=build_hf_headers(),
        expected_size=file.size,
        tqdm_class=Bar,
    )


def reason(error: Exception) -> str:
    """Returns the error as one line for the log, without the query strings of signed URLs."""
    return f"{type(error).__name__}: {_QUERY.sub('', ' '.join(str(error).split()))[:_LONGEST_REASON]}"
