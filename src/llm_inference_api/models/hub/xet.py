"""Xet, the hub's store of deduplicated chunks, from which a file comes over several connections at once.

The protocol is huggingface_hub's and hf_xet's, which write the file in order. In 2.4 and 1.8 they do not compare the
content with the file's digest, and cannot go on from a part of a file; both is left to the caller.
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
    """Writes the file's content to the path, and tells from a thread of hf_xet's how many bytes it has.

    Raises what huggingface_hub and hf_xet raise, which is of many types. Then the path holds the beginning of the file,
    if it is there at all.
    """
    assert file.xet is not None
    done = 0

    class Bar:
        """Takes the place of tqdm's bars, as those of `snapshot_download` do."""

        def __init__(self, **_: object) -> None:
            pass

        def update(self, count: int) -> None:
            """So many more bytes are in the file."""
            nonlocal done
            done += count
            on_bytes(done)

        def update_transfer(self, _: int) -> None:
            """More bytes came over the network, and wait for those that are before them in the file."""
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
    """Returns the error as a line for the log, without the signatures of addresses."""
    return f"{type(error).__name__}: {_QUERY.sub('', ' '.join(str(error).split()))[:_LONGEST_REASON]}"
