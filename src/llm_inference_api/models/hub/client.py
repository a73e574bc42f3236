"""HTTP access to the hub: listings, metadata and contents of files, and its refusals as ServiceErrors.

Each function makes one attempt with a timeout. Listings and metadata use huggingface_hub's public functions, and files
that are in Xet its `xet_get` (see `xet.py`). The plain GET of a file is made here, over the library's session, headers
and errors, because in huggingface_hub 2.4:

- `hf_hub_download` writes to a randomly named file and deletes it on failure, so that no later attempt can resume it.
  It writes the branch's ref before the files exist, publishes files unverified and compares no digest.
- `http_get` yields whole chunks of 10 MB: a dropped connection loses the incomplete one, and a slow connection looks
  like a stall. It sleeps for as long as Retry-After says, accepts any number of bytes, and recurses on every drop.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.util import find_spec

import httpx2
from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    get_session,
    hf_hub_url,
    set_client_factory,
)
from huggingface_hub.errors import FileMetadataError, HfHubHTTPError
from huggingface_hub.utils import XetFileData, build_hf_headers, get_token, hf_raise_for_status

from llm_inference_api.config.addresses import is_loopback
from llm_inference_api.errors import HubAccessError, HubError, ServiceError, UnavailableError
from llm_inference_api.models.hub.cache import DEFAULT_REVISION, is_commit
from llm_inference_api.models.hub.selection import FILE_NOT_FOUND

_ETAG = re.compile(r"[A-Za-z0-9][\w.-]{0,127}", re.ASCII)
"""It becomes the name of a file."""
_PUBLIC_HUB = "https://huggingface.co"
_RETRY_AFTER = 10.0
"""Seconds, where the hub says no other number."""
_LONGEST_RETRY_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository at one commit."""

    repo: str
    name: str
    commit: str
    etag: str
    size: int
    xet: XetFileData | None = None
    """Location of the content in Xet; None if it is to be downloaded over HTTP."""

    def __str__(self) -> str:
        return f"{self.repo}/{self.name}"


@dataclass(frozen=True, slots=True)
class Listing:
    """The names of a repository's files at one commit."""

    commit: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a file from `start` on."""

    start: int
    chunks: Iterator[bytes]


def install() -> None:
    """Makes huggingface_hub send its token to the hub alone; to be called once, before anything else."""
    set_client_factory(_client)


def listing(repo: str, revision: str | None) -> Listing:
    """Returns which files the repository holds. Raises ServiceError."""
    with _described(repo):
        try:
            said = HfApi().model_info(
                repo, revision=revision or DEFAULT_REVISION, timeout=constants.HF_HUB_ETAG_TIMEOUT
            )
        except (ValueError, TypeError, KeyError) as error:  # It is no JSON, or not that of a repository.
            raise _strange(repo, "no listing") from error
    if said.sha is None or not is_commit(said.sha):
        raise _strange(repo, "no commit")
    return Listing(said.sha, frozenset(sibling.rfilename for sibling in said.siblings or ()))


def head(repo: str, name: str, revision: str | None) -> RemoteFile:
    """Returns what the hub says of a file. Raises ServiceError."""
    with _described(f"{repo}/{name}"):
        url = hf_hub_url(repo, name, revision=revision or DEFAULT_REVISION)
        said = get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        xet = said.xet_file_data if _uses_xet(said.xet_file_data) else None
    if said.commit_hash is None or not is_commit(said.commit_hash):
        raise _strange(f"{repo}/{name}", "no commit")
    if said.etag is None or not _ETAG.fullmatch(said.etag) or said.size is None:
        raise _strange(f"{repo}/{name}", "no usable etag or size")
    return RemoteFile(repo, name, said.commit_hash, said.etag, said.size, xet)


def _uses_xet(data: XetFileData | None) -> bool:
    """Returns whether the file is offered by Xet, which is installed and not switched off.

    hf_xet sends the hub's token to the refresh route, so that must be on the hub itself.
    """
    if data is None or constants.HF_HUB_DISABLE_XET or find_spec("hf_xet") is None:
        return False
    return _may_have_token(httpx2.URL(data.refresh_route), constants.ENDPOINT)


@contextmanager
def body(file: RemoteFile, start: int) -> Iterator[Body]:
    """Opens a file's content, from `start` on if the hub can. Raises ServiceError, also while the content is read."""
    url = hf_hub_url(file.repo, file.name, revision=file.commit)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with _described(str(file)), get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            yield Body(0, iter(()))
            return
        if response.is_error:
            response.read()
        hf_raise_for_status(response)
        yield Body(start if _continues(response, start) else 0, response.iter_bytes())


def _continues(response: httpx2.Response, start: int) -> bool:
    partial = response.status_code == HTTPStatus.PARTIAL_CONTENT
    return partial and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _client() -> httpx2.Client:
    return httpx2.Client(
        event_hooks={"request": [lambda request: keep_token(request, constants.ENDPOINT)]}, follow_redirects=True
    )


def keep_token(request: httpx2.Request, endpoint: str) -> None:
    """Takes the token from requests to any other origin than the hub's, redirected ones included.

    huggingface_hub itself would also send it to the public hub when a mirror redirects there, and without encryption.
    """
    if not _may_have_token(request.url, endpoint):
        request.headers.pop("Authorization", None)


def _may_have_token(url: httpx2.URL, endpoint: str) -> bool:
    hub = httpx2.URL(endpoint)
    same = (url.scheme, url.host, url.port) == (hub.scheme, hub.host, hub.port)
    return same and (hub.scheme == "https" or is_loopback(hub.host))


@contextmanager
def _described(what: str) -> Iterator[None]:
    try:
        yield
    except HfHubHTTPError as error:
        raise refusal(what, error.response, has_token=get_token() is not None) from error
    except httpx2.ProxyError as error:
        raise _unavailable(f"the proxy to the hub refused the connection for {what}; check HTTPS_PROXY") from error
    except httpx2.TimeoutException as error:
        raise _unavailable(f"the hub was silent for too long at {what}; try again") from error
    except httpx2.TransportError as error:
        problem = (
            f"the connection to the hub for {what} failed or was cut; check the network and HF_ENDPOINT, try again"
        )
        raise _unavailable(problem) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, FileMetadataError) as error:
        raise _strange(what, type(error).__name__) from error


def refusal(what: str, response: httpx2.Response, *, has_token: bool) -> ServiceError:
    """Returns the error for a hub's answer that is none."""
    code = response.headers.get("X-Error-Code", "")
    status = response.status_code
    if code == "GatedRepo" or status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return _access_error(what, code, status, has_token=has_token)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = _retry_after(response)
        problem = f"the hub limits the rate of requests and refused {what}; try again in {seconds:.0f} s"
        return UnavailableError("HUB_RATE_LIMITED", problem if has_token else f"{problem}, or set HF_TOKEN", seconds)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return _unavailable(f"the hub failed with status {status} at {what}; try again", _retry_after(response))
    if status == HTTPStatus.NOT_FOUND:
        return _not_found(what, code)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return HubError("HUB_PROXY", f"the proxy on the way to {what} wants a login; put it into HTTPS_PROXY")
    return _strange(what, f"status {status}")


def _not_found(what: str, code: str) -> HubError:
    match code:
        case "EntryNotFound":
            return HubError(FILE_NOT_FOUND, f"the hub has no file {what}; check the file's name")
        case "RevisionNotFound":
            return HubError("HUB_REVISION_NOT_FOUND", f"the hub has no such revision of {what}; check what follows #")
        case _:
            return HubError(
                "HUB_REPOSITORY_NOT_FOUND", f"the hub has no repository for {what}; check the name's spelling"
            )


def _access_error(what: str, code: str, status: int, *, has_token: bool) -> HubAccessError:
    if code == "GatedRepo":
        whose = "with the account of HF_TOKEN" if has_token else "and set HF_TOKEN to a token of that account"
        return HubAccessError("HUB_GATED", f"{what} is gated: accept its licence at {_page(what)}, {whose}")
    if not has_token:
        problem = f"the hub shows {what} to nobody without a token: check the name, or set HF_TOKEN if it is private"
        return HubAccessError("HUB_TOKEN_NEEDED", problem)
    if status == HTTPStatus.UNAUTHORIZED:
        problem = f"the hub does not accept HF_TOKEN for {what}: it is wrong or has expired; set a new one"
        return HubAccessError("HUB_TOKEN_REFUSED", problem)
    problem = f"HF_TOKEN may not read {what}: give it read access to the repository, or set another one"
    return HubAccessError("HUB_FORBIDDEN", problem)


def _page(what: str) -> str:
    if constants.ENDPOINT != _PUBLIC_HUB:
        return "its page on the hub"
    return f"{_PUBLIC_HUB}/{'/'.join(what.split('/')[:2])}"


def _retry_after(response: httpx2.Response) -> float:
    said = response.headers.get("Retry-After", "")
    return min(float(said), _LONGEST_RETRY_AFTER) if said.isascii() and said.isdigit() else _RETRY_AFTER


def _unavailable(problem: str, retry_after: float = _RETRY_AFTER) -> UnavailableError:
    return UnavailableError("HUB_UNAVAILABLE", problem, retry_after)


def _strange(what: str, detail: str) -> HubError:
    problem = f"what answers at HF_ENDPOINT does not speak the hub's protocol ({detail} for {what}); check HF_ENDPOINT"
    return HubError("HUB_ANSWER", problem)
