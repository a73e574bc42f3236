"""The store of Xet on this machine, as huggingface.co/docs/xet describes its protocol.

A file is made of terms, each of some chunks of a xorb; here each xorb has a few chunks of one file, uncompressed.
"""

import json
import re
import time

CHUNK = 1 << 16
CHUNKS = 4
"""Chunks of a xorb."""
TOKEN = "xet_secret"
"""The only token that the store is to see."""


def token_headers(endpoint: str) -> dict[str, str]:
    """Returns what the hub answers to who asks for a token of the store at the endpoint."""
    expiry = str(int(time.time()) + 3600)
    return {"X-Xet-Cas-Url": endpoint, "X-Xet-Access-Token": TOKEN, "X-Xet-Token-Expiration": expiry}


def answer(path: str, asked: str, content: bytes, port: int) -> tuple[int, dict[str, str], bytes]:
    """Returns the store's answer to a request for a reconstruction, `/v1/reconstructions/<hash>`, or for a xorb.

    `asked` is the request's Range. The address of a xorb is `/<hash of the file>/<number>`, preceded by `/xorb`.
    """
    start, end = (int(number) for number in re.fullmatch(r"bytes=(\d+)-(\d+)", asked).groups())  # type: ignore[union-attr]
    if path.startswith("/v1/reconstructions/"):
        found = _reconstruction(path.rpartition("/")[2], start, min(end + 1, len(content)), port)
        return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()
    if path.startswith("/xorb/"):
        xorb = _xorb(content, int(path.rpartition("/")[2]))
        return 206, {"Content-Range": f"bytes {start}-{end}/{len(xorb)}"}, xorb[start : end + 1]
    return 404, {}, b""  # The second version of reconstructions, which clients then do without.


def _reconstruction(digest: str, start: int, end: int, port: int) -> dict[str, object]:
    """Returns where the chunks with these bytes of the file are."""
    terms, places = [], {}
    first, last = start // CHUNK, (end - 1) // CHUNK
    for number in range(first // CHUNKS, last // CHUNKS + 1):
        low, high = max(first - number * CHUNKS, 0), min(last + 1 - number * CHUNKS, CHUNKS)
        length = min((number * CHUNKS + high) * CHUNK, end) - (number * CHUNKS + low) * CHUNK
        name, chunks = f"{number + 1:064x}", {"start": low, "end": high}
        terms.append({"hash": name, "unpacked_length": length, "range": chunks})
        lies = {"start": low * (CHUNK + 8), "end": low * (CHUNK + 8) + length + 8 * (high - low) - 1}
        places[name] = [{"range": chunks, "url": f"http://127.0.0.1:{port}/xorb/{digest}/{number}", "url_range": lies}]
    return {"offset_into_first_range": start - first * CHUNK, "terms": terms, "fetch_info": places}


def _xorb(content: bytes, number: int) -> bytes:
    """Returns chunks, each after a header: version, 3 bytes of size, kind of compression, 3 bytes of size without."""
    first = number * CHUNKS * CHUNK
    parts = [content[at : at + CHUNK] for at in range(first, min(first + CHUNKS * CHUNK, len(content)), CHUNK)]
    sizes = [len(part).to_bytes(3, "little") for part in parts]
    return b"".join(b"\0" + size + b"\0" + size + part for size, part in zip(sizes, parts, strict=True))
