"""Downloads from a hub that behaves, and from one that does not. Each runs the real process against a real server."""

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import scan_cache_dir, try_to_load_from_cache  # noqa: TID251 - its own view of what we wrote.

from llm_inference_api.errors import DiskFullError, HubAccessError, HubError, ServiceError, UnavailableError
from llm_inference_api.models.hub import client as hub_client
from llm_inference_api.models.hub import fetch as subject
from llm_inference_api.models.hub import process as hub_process
from llm_inference_api.models.hub.fetch import HubOptions
from llm_inference_api.models.hub.messages import DownloadJob, Fetched, LocalFiles
from llm_inference_api.processes.child import spawn
from llm_inference_api.requests.reference import HubOrigin
from tests.fakes import late_writer, xet
from tests.fakes.hub import (
    COMMIT,
    FakeHub,
    Fault,
    Repository,
    corrupt,
    corrupt_xorb,
    cut,
    drip,
    drip_from_xorb,
    first,
    hang,
    ignore_range,
    log_in,
    redirect_to_storage,
    running_hub,
    status,
)
from tests.fakes.processor_time import children_cpu_time

AUDIT = Path(__file__).parents[2] / "fakes" / "audit"
TOKEN = "hf_secret"
CONTENT = bytes(range(256)) * 4096
MODEL = HubOrigin("org/model", "m.gguf")
XET = HubOrigin("org/xet", "m.gguf")
PINNED = replace(MODEL, revision=COMMIT)
CHECKPOINT = HubOrigin("org/checkpoint")
INDEX = b'{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'


@dataclass
class Place:
    """A hub, an empty cache, and what was reported of a download."""

    hub: FakeHub
    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    timeout: float = 30.0
    stall_timeout: float = 20.0
    progress: list[tuple[int, int]] = field(default_factory=list)
    progressed: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetch(self, origin: HubOrigin = MODEL) -> LocalFiles:
        """Downloads the model as the service does."""
        environment = {"HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.endpoint, **self.variables}
        options = HubOptions(environment, self.timeout, self.stall_timeout)
        return await subject.fetch(origin, options, self._note)

    async def delete(self, origin: HubOrigin) -> int:
        """Deletes the model as the service does."""
        return await subject.delete(origin, HubOptions({"HF_HOME": str(self.home)}))

    def _note(self, done: int, total: int) -> None:
        self.progress.append((done, total))
        self.progressed.set()

    async def arrival(self, count: int) -> None:
        """Returns when so many bytes are reported."""
        while not self.progress or self.progress[-1][0] < count:
            await self.progressed.wait()
            self.progressed.clear()

    async def refused(self, kind: type[ServiceError], origin: HubOrigin = MODEL) -> ServiceError:
        """Returns the error that the download ends with, after checking that it gives nothing away."""
        with pytest.raises(kind) as raised:
            await self.fetch(origin)
        assert TOKEN not in str(raised.value)
        assert str(self.home) not in str(raised.value)
        return raised.value

    def offline(self) -> None:
        """Forbids the network."""
        self.variables["HF_HUB_OFFLINE"] = "1"

    def left(self, pattern: str) -> list[Path]:
        """Returns what lies in the cache's blobs."""
        return sorted(self.home.glob(f"hub/models--*/blobs/{pattern}"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A hub with some repositories, and an empty cache."""
    checkpoint = {
        "config.json": b"{}",
        "model.safetensors.index.json": INDEX,
        "model-00001-of-00002.safetensors": b"one",
        "model-00002-of-00002.safetensors": b"two",
        "tokenizer.json": b"{'t': 1}",
        "tokenizer_config.json": b"{}",
        "merges.txt": b"a b",
        "pytorch_model.bin": b"pickle",
        "consolidated.00.pth": b"pickle",
        "README.md": b"#",
        "onnx/model.safetensors": b"other",
    }
    small = frozenset(name for name in checkpoint if "safetensors" not in name or name.endswith(".json"))
    repositories = {
        "org/model": Repository({"m.gguf": CONTENT, "README.md": b"#"}, frozenset({"README.md"})),
        "org/xet": Repository({"m.gguf": CONTENT + b"end"}, xet=frozenset({"m.gguf"})),
        "org/split": Repository({f"s-0000{n}-of-00002.gguf": b"part %d" % n for n in (1, 2)}),
        "org/checkpoint": Repository(checkpoint, small),
        "org/sentences": Repository(
            {
                **dict.fromkeys(("config.json", "modules.json", "sentence_bert_config.json"), b"{}"),
                **dict.fromkeys(("config_sentence_transformers.json", "1_Pooling/config.json"), b"{}"),
                **dict.fromkeys(("2_Dense/config.json", "onnx/config.json", "vocab.txt", "train.txt"), b"{}"),
                **dict.fromkeys(("model.safetensors", "2_Dense/pytorch_model.bin", "onnx/model.onnx"), b"weights"),
            },
            frozenset({"config.json"}),
        ),
        "org/tokenizer": Repository({"tokenizer.json": b"{'t': 2}", "tokenizer_config.json": b"{}"}),
        "org/pickle": Repository({"config.json": b"{}", "pytorch_model.bin": b"pickle"}),
    }
    with running_hub(repositories) as hub:
        yield Place(hub, tmp_path / "home")


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Sets what is to befall the download's process; see `tests/fakes/audit`."""

    def set_up(variable: str, value: str) -> None:
        monkeypatch.setenv("PYTHONPATH", str(AUDIT))
        monkeypatch.setenv(variable, value)

    return set_up


def downloads() -> list[multiprocessing.Process]:
    """Returns the download processes that run."""
    return [each for each in multiprocessing.active_children() if each.name == "hub-download"]  # type: ignore[misc]


class TestFiles:
    """What a well hub is asked for, and where it lies then."""

    async def test_a_named_file_arrives(self, place: Place) -> None:
        """The named file lies in the snapshot, and the bytes were reported up to the last."""
        files = await place.fetch()
        assert files.model.read_bytes() == CONTENT
        assert files == LocalFiles(files.model, (files.model,), COMMIT)
        assert place.progress[-1] == (len(CONTENT), len(CONTENT))

    async def test_huggingface_hub_finds_it(self, place: Place) -> None:
        """The cache is huggingface_hub's own: it finds the file under the branch, and nothing in it surprises it."""
        files = await place.fetch()
        assert try_to_load_from_cache("org/model", "m.gguf", place.home / "hub") == str(files.model)
        info = scan_cache_dir(place.home / "hub")
        assert not info.warnings
        assert info.size_on_disk == len(CONTENT)

    async def test_a_split_file_arrives_whole(self, place: Place) -> None:
        """Any part's name brings all parts; the model is the first."""
        files = await place.fetch(HubOrigin("org/split", "s-00002-of-00002.gguf"))
        assert [path.read_bytes() for path in files.files] == [b"part 1", b"part 2"]
        assert files.model == files.files[0]

    async def test_a_checkpoint_arrives_without_pickles(self, place: Place) -> None:
        """A repository alone brings its safetensors, configuration and tokenizer, and no pickles or anything else."""
        files = await place.fetch(CHECKPOINT)
        assert {path.name for path in files.files} == {
            "config.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "merges.txt",
        }
        assert {path.name for path in files.model.iterdir()} == {path.name for path in files.files}

    async def test_the_modules_of_sentence_transformers_come_too(self, place: Place) -> None:
        """With the configurations in their directories, and nothing else of those; a pickle is none of them."""
        files = await place.fetch(HubOrigin("org/sentences"))
        assert {str(path.relative_to(files.model)) for path in files.files} == {
            "config.json",
            "model.safetensors",
            "modules.json",
            "sentence_bert_config.json",
            "config_sentence_transformers.json",
            "vocab.txt",
            "1_Pooling/config.json",
            "2_Dense/config.json",
        }
        assert all(path.is_file() for path in files.files)

    async def test_a_tokenizer_repository_comes_too(self, place: Place) -> None:
        """What stands after @ brings that repository's tokenizer."""
        files = await place.fetch(replace(MODEL, tokenizer_repo="org/tokenizer"))
        assert files.tokenizer is not None
        assert (files.tokenizer / "tokenizer.json").read_bytes() == b"{'t': 2}"

    async def test_a_pinned_commit_needs_no_question(self, place: Place) -> None:
        """What lies in the cache of a commit is served without asking the hub: it cannot have changed."""
        await place.fetch(PINNED)
        place.hub.seen.clear()
        await place.fetch(PINNED)
        assert place.hub.seen == []

    async def test_a_file_is_downloaded_once(self, place: Place) -> None:
        """The second start asks whether the branch has moved, and downloads nothing."""
        await place.fetch()
        await place.fetch()
        assert len(place.hub.requests("storage")) == 1

    async def test_a_new_commit_of_the_same_content_is_linked(self, place: Place) -> None:
        """Content that another commit brought is not downloaded again, nor does it need space."""
        files = await place.fetch()
        files.model.unlink()
        assert (await place.fetch()).model.read_bytes() == CONTENT
        assert len(place.hub.requests("storage")) == 1

    async def test_two_servers_share_one_download(self, place: Place) -> None:
        """Two servers with one cache download a file once."""
        first_files, second_files = await asyncio.gather(place.fetch(), place.fetch())
        assert first_files == second_files
        assert len(place.hub.requests("storage")) == 1


class TestRefusals:
    """What the hub refuses: the code, and a sentence that says what to do."""

    @pytest.mark.parametrize(
        ("origin", "reason", "says"),
        [
            (HubOrigin("org/none", "m.gguf"), "HUB_REPOSITORY_NOT_FOUND", "check the name's spelling"),
            (HubOrigin("org/model", "n.gguf"), "HUB_FILE_NOT_FOUND", "name one of org/model:m.gguf"),
            (replace(MODEL, revision="v9"), "HUB_REVISION_NOT_FOUND", "check what follows #"),
            (HubOrigin("org/model"), "HUB_FILE_NOT_NAMED", "name one of them: org/model:m.gguf"),
            (HubOrigin("org/pickle"), "HUB_NO_WEIGHTS", "pickles"),
            (replace(MODEL, tokenizer_repo="org/pickle"), "HUB_NO_TOKENIZER", "name another one after @"),
        ],
    )
    async def test_what_is_not_there(self, origin: HubOrigin, reason: str, says: str, place: Place) -> None:
        """A missing repository, file, revision or name is told apart, and the error helps to find the right one."""
        error = await place.refused(HubError, origin)
        assert isinstance(error, HubError)
        assert error.reason == reason
        assert says in str(error)
        assert origin.repo in str(error) or "org/pickle" in str(error)

    @pytest.mark.parametrize(
        ("fault", "token", "reason", "says"),
        [
            (status(401, "RepoNotFound"), None, "HUB_TOKEN_NEEDED", "set HF_TOKEN"),
            (status(401), TOKEN, "HUB_TOKEN_REFUSED", "set a new one"),
            (status(401, "GatedRepo"), None, "HUB_GATED", "set HF_TOKEN"),
            (status(403, "GatedRepo"), TOKEN, "HUB_GATED", "accept its licence"),
            (status(403), TOKEN, "HUB_FORBIDDEN", "give it read access"),
        ],
    )
    async def test_who_may_not_read(
        self, fault: Fault, token: str | None, reason: str, says: str, place: Place
    ) -> None:
        """What lacks a token, a licence or a right says which, at once."""
        place.hub.metadata_fault = fault
        place.variables = {"HF_TOKEN": token} if token else {}
        error = await place.refused(HubAccessError)
        assert isinstance(error, HubError)
        assert error.reason == reason
        assert says in str(error)
        assert len(place.hub.seen) == 1

    async def test_a_gated_repository_opens_to_its_token(self, place: Place) -> None:
        """With the right token a gated repository is one like all others."""
        place.hub.repositories["org/model"].gated = True
        place.hub.repositories["org/model"].token = TOKEN
        place.variables["HUGGING_FACE_HUB_TOKEN"] = TOKEN
        assert (await place.fetch()).model.read_bytes() == CONTENT

    async def test_too_many_requests(self, place: Place) -> None:
        """A rate limit says when to try again, and does not wait that long itself."""
        place.hub.metadata_fault = status(429, Retry_After="120")
        error = await place.refused(UnavailableError)
        assert isinstance(error, UnavailableError)
        assert (error.reason, error.retry_after) == ("HUB_RATE_LIMITED", 120.0)
        assert len(place.hub.seen) == 1

    async def test_a_short_failure_passes(self, place: Place) -> None:
        """A hub that fails once is asked again."""
        place.hub.metadata_fault = first(1, status(503))
        assert (await place.fetch()).model.read_bytes() == CONTENT

    async def test_a_long_failure_is_unavailable(self, place: Place) -> None:
        """A hub that goes on failing is tried a few times within seconds, and then unavailable."""
        place.hub.metadata_fault = status(500)
        error = await place.refused(UnavailableError)
        assert "status 500" in str(error)
        assert len(place.hub.seen) == 5

    @pytest.mark.parametrize("origin", [MODEL, CHECKPOINT])
    async def test_what_is_no_hub(self, origin: HubOrigin, place: Place) -> None:
        """An answer without a hub's headers is no model: the address is wrong."""
        place.hub.metadata_fault = lambda handler: (
            handler.answer(200, {}, b"<html>Log in to the network</html>") or True
        )
        error = await place.refused(HubError)
        assert "check HF_ENDPOINT" in str(error)

    async def test_a_proxy_that_wants_a_login(self, place: Place) -> None:
        """A proxy's refusal is told apart from the hub's."""
        place.variables = {"HTTP_PROXY": place.hub.endpoint, "HF_ENDPOINT": "http://hub.example"}
        place.hub.metadata_fault = status(407)
        error = await place.refused(HubError)
        assert "put it into HTTPS_PROXY" in str(error)

    async def test_an_index_that_names_what_is_not_there(self, place: Place) -> None:
        """A checkpoint without one of the files that its index names is no model."""
        del place.hub.repositories["org/checkpoint"].files["model-00002-of-00002.safetensors"]
        error = await place.refused(HubError, CHECKPOINT)
        assert "model-00002-of-00002.safetensors" in str(error)


class TestTransfer:
    """What goes wrong while bytes come."""

    @pytest.mark.parametrize("where", ["metadata_fault", "content_fault"])
    async def test_silence_ends(self, where: str, place: Place) -> None:
        """A hub that says nothing is given up after the stall timeout, not after huggingface_hub's minutes."""
        setattr(place.hub, where, hang)
        place.stall_timeout = 1.5
        started = time.monotonic()
        error = await place.refused(UnavailableError)
        assert time.monotonic() - started < 30
        assert "LLM_DOWNLOAD_STALL_TIMEOUT" in str(error)

    async def test_a_silent_connection_is_opened_anew(self, place: Place) -> None:
        """One connection's silence costs its timeout, and the next one goes on where it was."""
        place.hub.content_fault = first(1, hang)
        place.variables["HF_HUB_DOWNLOAD_TIMEOUT"] = "1"
        assert (await place.fetch()).model.read_bytes() == CONTENT

    async def test_a_cut_is_gone_on_from(self, place: Place) -> None:
        """After each cut only the missing bytes are asked for."""
        place.hub.content_fault = first(2, cut(after=300_000))
        assert (await place.fetch()).model.read_bytes() == CONTENT
        ranges = [request.range for request in place.hub.requests("storage")]
        assert ranges == [None, "bytes=300000-", "bytes=600000-"]

    async def test_a_hub_without_ranges_starts_over(self, place: Place) -> None:
        """A hub that sends everything again is taken at its word."""
        place.hub.content_fault = first(1, cut(after=300_000))
        with_ranges = place.hub.content_fault
        place.hub.content_fault = lambda handler: with_ranges(handler) or ignore_range(handler)
        assert (await place.fetch()).model.read_bytes() == CONTENT

    async def test_a_slow_drip_ends_at_the_deadline(self, place: Place) -> None:
        """Bytes that come too slowly do not stall, but the deadline holds; the next try goes on from them."""
        place.timeout = 2.5
        while True:  # On a busy machine, the process may take as long to begin.
            place.hub.content_fault = first(1, drip(after=500_000))
            started = time.monotonic()
            error = await place.refused(UnavailableError)
            assert time.monotonic() - started < place.timeout + 10
            assert "LLM_DOWNLOAD_TIMEOUT" in str(error)
            if place.hub.reached.is_set() and place.progress[-1][0] >= 500_000:
                break
            place.timeout *= 2
        place.timeout = 30
        assert (await place.fetch()).model.read_bytes() == CONTENT
        asked = place.hub.requests("storage")[-1].range
        assert asked is not None
        assert int(asked.removeprefix("bytes=").rstrip("-")) >= 500_000

    async def test_corruption_is_found(self, place: Place) -> None:
        """Other bytes of the same number are refused, and nothing of them stays."""
        place.hub.content_fault = corrupt
        error = await place.refused(HubError)
        assert "digest" in str(error)
        assert place.left("*") == []
        place.offline()
        await place.refused(HubError)

    async def test_corruption_of_a_small_file_is_found(self, place: Place) -> None:
        """Files outside LFS are compared with git's digest."""
        place.hub.content_fault = None
        files = place.hub.repositories["org/checkpoint"].files
        right = files["tokenizer.json"]

        def corrupt_tokenizer(handler: object) -> bool:
            method = getattr(handler, "command", "")
            files["tokenizer.json"] = right if method == "HEAD" else b"{'t': 9}"
            return False

        place.hub.metadata_fault = corrupt_tokenizer
        error = await place.refused(HubError, CHECKPOINT)
        assert "org/checkpoint/tokenizer.json" in str(error)

    async def test_more_than_announced_is_refused(self, place: Place) -> None:
        """A hub that sends on and on does not fill the disk."""
        place.hub.announced_size = 1000
        error = await place.refused(HubError)
        assert "digest" in str(error)
        assert place.left("*") == []

    async def test_what_is_no_beginning_is_dropped(self, place: Place) -> None:
        """What lies there under the file's name but is no part of it costs a new start, not the model."""
        await place.fetch()
        marker = place.left("*.verified")[0]
        blob = marker.with_suffix("")
        for path in (blob, marker):
            path.unlink()
        blob.with_name(f"{blob.name}.incomplete").write_bytes(b"garbage")
        assert (await place.fetch()).model.read_bytes() == CONTENT

    async def test_the_token_stays_with_the_hub(self, place: Place) -> None:
        """The hub gets the token with each request, the storage that it redirects to never."""
        place.variables["HF_TOKEN"] = TOKEN
        await place.fetch(replace(MODEL, tokenizer_repo="org/tokenizer"))
        assert {request.token for request in place.hub.requests("hub")} == {f"Bearer {TOKEN}"}
        assert {request.token for request in place.hub.requests("storage")} == {None}

    @pytest.mark.parametrize("origin", [MODEL, CHECKPOINT])
    async def test_a_redirected_question_loses_the_token(self, origin: HubOrigin, place: Place) -> None:
        """A hub that redirects questions to another host does not give it the token."""
        place.variables["HF_TOKEN"] = TOKEN
        place.hub.metadata_fault = redirect_to_storage
        await place.refused(ServiceError, origin)
        assert {request.token for request in place.hub.requests("storage")} <= {None}

    @pytest.mark.parametrize(
        ("url", "kept"),
        [
            ("https://huggingface.co/org/model", True),
            ("http://huggingface.co/org/model", False),
            ("https://huggingface.co:8443/org/model", False),
            ("https://hf.co/org/model", False),
            ("https://huggingface.co.example/org/model", False),
            ("https://cdn-lfs.huggingface.co/org/model", False),
        ],
    )
    def test_only_the_same_origin_gets_the_token(self, url: str, *, kept: bool) -> None:
        """Scheme, host and port must all be the hub's."""
        request = httpx2.Request("GET", url, headers={"Authorization": "Bearer x"})
        hub_client.keep_token(request, "https://huggingface.co")
        assert ("Authorization" in request.headers) is kept


class TestXet:
    """Files that the hub offers by Xet too."""

    async def test_a_file_comes_by_xet(self, place: Place) -> None:
        """It is checked, lies where others do, and its bytes are reported; the storage host is not asked."""
        files = await place.fetch(XET)
        assert files.model.read_bytes() == CONTENT + b"end"
        assert place.progress[-1] == (len(CONTENT) + 3, len(CONTENT) + 3)
        assert place.hub.requests("storage") == []
        assert try_to_load_from_cache("org/xet", "m.gguf", place.home / "hub") == str(files.model)
        place.offline()
        assert await place.fetch(XET) == files

    async def test_the_token_stays_with_the_hub(self, place: Place) -> None:
        """The store sees the tokens that the hub gives for it, and nothing is told to it but what to send."""
        place.variables["HF_TOKEN"] = TOKEN
        await place.fetch(XET)
        assert {request.token for request in place.hub.requests("hub")} == {f"Bearer {TOKEN}"}
        assert {request.token for request in place.hub.requests("xet")} == {f"Bearer {xet.TOKEN}", None}
        assert {request.method for request in place.hub.requests("xet")} == {"GET"}

    @pytest.mark.parametrize(
        "route", ["http://127.0.0.1:{port}/steal", "https://hub.example/api/models/org/xet/xet-read-token/main"]
    )
    async def test_tokens_for_xet_come_from_the_hub_alone(
        self, route: str, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A hub that sends the caller elsewhere for them does without Xet: hf_xet would take the hub's token there."""
        place.variables["HF_TOKEN"] = TOKEN
        place.hub.xet_route = route.format(port=place.hub.storage.server_port)
        assert (await place.fetch(XET)).model.read_bytes() == CONTENT + b"end"
        assert [request.path.split("/")[1] for request in place.hub.requests("storage")] == ["content"]
        assert place.hub.requests("xet") == []
        assert caplog.text == ""

    async def test_a_redirected_route_loses_the_token(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """A hub that redirects questions for such tokens to another host does not give it its own."""
        place.variables["HF_TOKEN"] = TOKEN
        place.hub.xet_route = f"{place.hub.endpoint}/api/models/org/xet/xet-read-token/elsewhere"
        assert (await place.fetch(XET)).model.read_bytes() == CONTENT + b"end"
        asked = place.hub.requests("storage")
        assert {request.token for request in asked} == {None}
        assert asked[0].path.endswith("/xet-read-token/elsewhere")
        assert "using HTTP instead" in caplog.text

    @pytest.mark.parametrize("fault", [status(401), status(404), status(416), status(500), corrupt_xorb(1), corrupt])
    async def test_what_fails_by_xet_comes_over_http(self, fault: Fault, place: Place) -> None:
        """A store that refuses, fails, or sends something else costs time, not the model."""
        place.hub.xet_fault = fault
        assert (await place.fetch(XET)).model.read_bytes() == CONTENT + b"end"
        assert place.hub.requests("storage") != []

    async def test_a_mirror_without_xet_tokens_serves(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """A mirror that passes on the hub's offer of Xet and nothing more is one without Xet; the log says so."""
        place.hub.xet_route = f"{place.hub.endpoint}/api/models/org/none/xet-read-token/main"
        assert (await place.fetch(XET)).model.read_bytes() == CONTENT + b"end"
        assert place.hub.requests("xet") == []
        assert "org/xet/m.gguf cannot be downloaded by Xet" in caplog.text

    async def test_a_store_out_of_reach_is_tried_once(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """A network that reaches the mirror but no store gets all files over HTTP after the first has failed."""
        place.hub.repositories["org/split"].xet = frozenset(place.hub.repositories["org/split"].files)
        place.hub.xet.shutdown()
        place.hub.xet.server_close()
        await place.fetch(HubOrigin("org/split", "s-00001-of-00002.gguf"))
        assert caplog.text.count("using HTTP instead") == 1
        assert len(place.hub.requests("storage")) == 2

    async def test_a_silent_store_gives_way_to_http(self, place: Place) -> None:
        """A store that accepts connections and says nothing is given up before the stall timeout."""
        place.hub.xet_fault = hang
        place.variables |= {"HF_XET_CLIENT_READ_TIMEOUT": "1s", "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "0"}
        assert (await place.fetch(XET)).model.read_bytes() == CONTENT + b"end"

    async def test_what_a_killed_download_left_is_gone_on_from(self, place: Place) -> None:
        """After `kill -9` the next start asks for the missing bytes alone, over HTTP."""
        place.hub.xet_fault = drip_from_xorb(2)
        task = asyncio.create_task(place.refused(UnavailableError, XET))
        await place.arrival(1)
        os.kill(downloads()[0].pid or 0, signal.SIGKILL)
        assert "ended from outside" in str(await task)
        assert (await place.fetch(XET)).model.read_bytes() == CONTENT + b"end"
        (request,) = place.hub.requests("storage")
        assert request.range is not None
        assert int(request.range.removeprefix("bytes=").rstrip("-")) >= xet.CHUNKS * xet.CHUNK

    def test_a_late_writer_spoils_nothing(self, place: Place) -> None:
        """What hf_xet writes after it has failed ends in no file that is taken for whole."""
        environment = {"HF_HOME": str(place.home), "HF_ENDPOINT": place.hub.endpoint}
        process, connection = spawn(late_writer.run, DownloadJob(XET, environment), "hub-download")
        with connection:
            messages = iter(connection.recv, None)
            fetched = next(message for message in messages if isinstance(message, Fetched))
        process.join(10)
        assert fetched.files.model.read_bytes() == CONTENT + b"end"
        assert [request.range for request in place.hub.requests("storage")] == [
            f"bytes={len(late_writer.BEGINNING)}-",
            None,
        ]

    async def test_it_can_be_switched_off(self, place: Place) -> None:
        """HF_HUB_DISABLE_XET is huggingface_hub's own switch."""
        place.variables["HF_HUB_DISABLE_XET"] = "1"
        assert (await place.fetch(XET)).model.read_bytes() == CONTENT + b"end"
        assert place.hub.requests("xet") == []

    async def test_corruption_everywhere_is_found(self, place: Place) -> None:
        """Other bytes over both ways are refused, and nothing of them stays."""
        place.hub.xet_fault = corrupt_xorb(0)
        place.hub.content_fault = corrupt
        assert "digest" in str(await place.refused(HubError, XET))
        assert place.left("*") == []

    async def test_more_than_announced_is_refused(self, place: Place) -> None:
        """A store that has more than the hub announced does not fill the disk."""
        place.hub.announced_size = 1000
        assert "digest" in str(await place.refused(HubError, XET))
        assert place.left("*") == []

    def test_the_service_s_end_ends_the_process(self, place: Place) -> None:
        """A process whose service is gone ends, though hf_xet waits for a silent store."""
        place.hub.xet_fault = hang
        environment = {"HF_HOME": str(place.home), "HF_ENDPOINT": place.hub.endpoint}
        process, connection = spawn(hub_process.run, DownloadJob(XET, environment), "hub-download")
        assert place.hub.reached.wait(10)
        connection.close()
        process.join(10)
        assert process.exitcode == 0


class TestDisk:
    """What goes wrong on this machine."""

    async def test_space_is_checked_first(self, place: Place) -> None:
        """A model that does not fit is refused before its first byte."""
        place.hub.announced_size = 10**15
        error = await place.refused(DiskFullError)
        assert "needs 1100000.0 GB" in str(error)
        assert place.hub.requests("storage") == []

    @pytest.mark.parametrize(
        ("number", "kind", "says"),
        [(28, DiskFullError, "the disk was full"), (30, HubError, "cannot be written"), (5, HubError, "Input/output")],
    )
    async def test_the_file_system_refuses(
        self, number: int, kind: type[HubError], says: str, place: Place, audit: Callable[[str, str], None]
    ) -> None:
        """A full, a read-only and a broken disk are told apart, and the full one gets its space back."""
        audit("AUDIT_REFUSE", f"os.rename:.incomplete:{number}")
        error = await place.refused(kind)
        assert says in str(error)
        assert (place.left("*.incomplete") == []) is (kind is DiskFullError)

    async def test_a_cache_that_cannot_be_written_serves(self, place: Place, audit: Callable[[str, str], None]) -> None:
        """A warm cache on a read-only disk is enough, though nothing can be remembered in it."""
        await place.fetch()
        for marker in place.left("*.verified"):
            marker.unlink()
        audit("AUDIT_REFUSE", "open:.incomplete:30")
        assert (await place.fetch()).model.read_bytes() == CONTENT
        assert place.left("*.verified") == []

    async def test_a_cache_without_links(self, place: Place) -> None:
        """Where HF_HUB_DISABLE_SYMLINKS forbids links, files lie in the snapshot, and are still downloaded once."""
        place.variables["HF_HUB_DISABLE_SYMLINKS"] = "1"
        files = await place.fetch()
        assert await place.fetch() == files
        assert not files.model.is_symlink()
        assert len(place.hub.requests("storage")) == 1

    async def test_leftovers_are_swept(self, place: Place) -> None:
        """What huggingface_hub's killed downloads left is deleted once it is old; what may be in work stays."""
        await place.fetch()
        blobs = place.left("*.verified")[0].parent
        old, young = blobs / "abc.1234abcd.incomplete", blobs / "abc.5678abcd.incomplete"
        for path in (old, young):
            path.write_bytes(b"x")
        os.utime(old, (0, 0))
        await place.fetch()
        assert place.left("*.incomplete") == [young]

    async def test_a_damaged_copy_is_replaced(self, place: Place) -> None:
        """A file of the cache that was changed is found by its time, and downloaded again."""
        files = await place.fetch()
        files.model.write_bytes(CONTENT[::-1])
        assert (await place.fetch()).model.read_bytes() == CONTENT


class TestOffline:
    """The cache alone."""

    async def test_a_cold_cache_is_a_clear_error(
        self, place: Place, audit: Callable[[str, str], None], tmp_path: Path
    ) -> None:
        """Without the model, offline says so within a second of processor time, and no packet is sent."""
        audit("AUDIT_NETWORK", str(tmp_path / "network"))
        place.offline()
        before = children_cpu_time()
        error = await place.refused(HubError)
        assert children_cpu_time() - before < 1
        assert "without HF_HUB_OFFLINE" in str(error)
        assert not (tmp_path / "network").exists()

    @pytest.mark.parametrize("origin", [MODEL, CHECKPOINT, replace(MODEL, tokenizer_repo="org/tokenizer")])
    async def test_a_warm_cache_serves(
        self, origin: HubOrigin, place: Place, audit: Callable[[str, str], None], tmp_path: Path
    ) -> None:
        """With the model, offline finds what online found, and no packet is sent."""
        online = await place.fetch(origin)
        audit("AUDIT_NETWORK", str(tmp_path / "network"))
        place.offline()
        assert await place.fetch(origin) == online
        assert not (tmp_path / "network").exists()

    async def test_the_watch_on_the_network_works(
        self, place: Place, audit: Callable[[str, str], None], tmp_path: Path
    ) -> None:
        """The note that the offline tests look for is there after an online download."""
        audit("AUDIT_NETWORK", str(tmp_path / "network"))
        await place.fetch()
        assert "socket.connect" in (tmp_path / "network").read_text()

    async def test_a_damaged_copy_is_refused(self, place: Place) -> None:
        """Offline, a changed file is not served, and the error says how to mend it."""
        files = await place.fetch()
        files.model.write_bytes(CONTENT[::-1])
        place.offline()
        error = await place.refused(HubError)
        assert "damaged" in str(error)

    async def test_part_of_a_checkpoint_is_none(self, place: Place) -> None:
        """A checkpoint of which a weight file is missing in the cache is not whole."""
        files = await place.fetch(CHECKPOINT)
        (files.model / "model-00002-of-00002.safetensors").unlink()
        place.offline()
        await place.refused(HubError, CHECKPOINT)

    async def test_a_warm_cache_serves_while_the_hub_is_down(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A hub that fails delays no start of a model that is there; the log says why it may be old."""
        await place.fetch()
        place.hub.metadata_fault = status(500)
        place.hub.seen.clear()
        assert (await place.fetch()).model.read_bytes() == CONTENT
        assert len(place.hub.seen) == 1
        assert "served from the cache" in caplog.text

    @pytest.mark.parametrize("origin", [MODEL, CHECKPOINT])
    async def test_a_warm_cache_does_not_wait_for_a_hub_that_hangs(
        self, place: Place, caplog: pytest.LogCaptureFixture, origin: HubOrigin
    ) -> None:
        """Its own timeout, 10 s for each file, would delay the answer that waits for the load."""
        files = await place.fetch(origin)
        place.hub.metadata_fault = hang
        assert await place.fetch(origin) == files
        assert "did not answer within 3 s; the model is served from the cache" in caplog.text


class TestFallback:
    """A model that the cache has is served, whatever becomes of the question whether there is a newer one."""

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (log_in, "check HF_ENDPOINT"),
            (status(404, "RepoNotFound"), "check the name's spelling"),
            (status(407), "put it into HTTPS_PROXY"),
            (status(418), "check HF_ENDPOINT"),
        ],
    )
    @pytest.mark.parametrize("origin", [MODEL, CHECKPOINT])
    async def test_an_answer_that_is_none(
        self, fault: Fault, said: str, origin: HubOrigin, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A proxy that wants a login, a repository that was deleted: the log says which."""
        files = await place.fetch(origin)
        place.hub.metadata_fault = fault
        assert await place.fetch(origin) == files
        assert said in caplog.text
        assert "served from the cache" in caplog.text

    async def test_what_nobody_foresaw(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """A proxy of a kind for which a library is lacking is no error of the hub, and none of ours."""
        files = await place.fetch()
        place.variables = {"ALL_PROXY": "socks5://127.0.0.1:9", "HF_ENDPOINT": "http://hub.example"}
        assert await place.fetch() == files
        assert "served from the cache" in caplog.text

    async def test_a_file_that_is_not_there_any_more(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """A newer commit without the file takes nothing from whoever has it."""
        files = await place.fetch()
        place.hub.commit, place.hub.repositories["org/model"] = "b" * 40, Repository({"other.gguf": b"x"})
        assert await place.fetch() == files
        assert "served from the cache" in caplog.text

    @pytest.mark.parametrize("fault", [corrupt, hang])
    async def test_a_newer_commit_that_does_not_come(
        self, fault: Fault, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The older one goes on, until the newer one is whole."""
        files = await place.fetch()
        place.hub.commit, place.hub.repositories["org/model"] = "b" * 40, Repository({"m.gguf": CONTENT[::-1]})
        place.hub.content_fault, place.stall_timeout = fault, 3.0
        assert await place.fetch() == files
        assert "served from the cache" in caplog.text
        place.hub.content_fault, place.stall_timeout = None, 60.0
        assert (await place.fetch()).model.read_bytes() == CONTENT[::-1]

    async def test_a_newer_commit_that_finds_no_space(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """A full disk stops no model that is on it."""
        files = await place.fetch()
        place.hub.commit, place.hub.repositories["org/model"] = "b" * 40, Repository({"m.gguf": CONTENT[::-1]})
        place.hub.announced_size = 10**15
        assert await place.fetch() == files
        assert "needs 1100000.0 GB" in caplog.text

    async def test_a_process_that_dies(
        self, place: Place, audit: Callable[[str, str], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Another one finds the model in the cache."""
        files = await place.fetch()
        audit("AUDIT_KILL", "socket.connect:127.0.0.1")
        assert await place.fetch() == files
        assert "ended from outside" in caplog.text
        assert "served from the cache" in caplog.text


class TestDeletion:
    """What is deleted of the cache, and what stays."""

    async def test_all_files_of_a_checkpoint(self, place: Place) -> None:
        """Content, links, markers and the branch's ref; the size is that of the content."""
        await place.fetch(CHECKPOINT)
        size = sum(blob.stat().st_size for blob in place.left("*") if blob.suffix != ".verified")
        assert await place.delete(CHECKPOINT) == size
        assert [path for path in place.home.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
        assert await place.delete(CHECKPOINT) == 0

    async def test_all_parts_of_a_split_file(self, place: Place) -> None:
        """By the name of one."""
        split = HubOrigin("org/split", "s-00001-of-00002.gguf")
        await place.fetch(split)
        assert await place.delete(split) == len(b"part 1part 2")

    async def test_what_another_commit_has_stays(self, place: Place) -> None:
        """The same content is there once, and gone with the last that has it."""
        old = await place.fetch(PINNED)
        place.hub.commit = "b" * 40
        await place.fetch()
        assert await place.delete(MODEL) == 0
        assert old.model.read_bytes() == CONTENT
        assert await place.delete(PINNED) == len(CONTENT)

    async def test_what_cannot_be_deleted_is_named(self, place: Place, audit: Callable[[str, str], None]) -> None:
        """A cache on a read-only disk is no internal error."""
        await place.fetch()
        audit("AUDIT_REFUSE", "os.remove:m.gguf:30")
        with pytest.raises(HubError, match="cannot be deleted from the hub's cache: Read-only file system"):
            await place.delete(MODEL)


class TestEnds:
    """Ways in which the process ends before it is done."""

    async def test_cancelling_ends_the_process(self, place: Place) -> None:
        """A cancelled call leaves no process behind."""
        place.hub.content_fault = hang
        task = asyncio.create_task(place.fetch())
        await asyncio.to_thread(place.hub.reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert downloads() == []

    def test_the_service_s_end_ends_the_process(self, place: Place) -> None:
        """A process whose service is gone ends, whatever it waits for."""
        place.hub.content_fault = hang
        environment = {"HF_HOME": str(place.home), "HF_ENDPOINT": place.hub.endpoint}
        process, connection = spawn(hub_process.run, DownloadJob(MODEL, environment), "hub-download")
        assert place.hub.reached.wait(10)
        connection.close()
        process.join(10)
        assert process.exitcode == 0

    async def test_a_kill_in_mid_transfer_costs_no_byte_twice(self, place: Place) -> None:
        """After `kill -9` the next start goes on from what had arrived."""
        place.hub.content_fault = first(1, drip(after=500_000))
        task = asyncio.create_task(place.refused(UnavailableError))
        await place.arrival(500_000)
        os.kill(downloads()[0].pid or 0, signal.SIGKILL)
        assert "ended from outside" in str(await task)
        assert (await place.fetch()).model.read_bytes() == CONTENT
        asked = place.hub.requests("storage")[-1].range
        assert asked is not None

    @pytest.mark.parametrize(
        "phase",
        [
            "socket.connect:",
            "open:.lock",
            "open:.incomplete",
            "os.rename:.incomplete",
            "os.rename:.verified",
            "os.symlink:",
            "os.rename:snapshots",
            "os.rename:refs",
        ],
    )
    async def test_a_kill_leaves_nothing_that_is_trusted(
        self, phase: str, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After `kill -9` in any phase the cache alone gives the right bytes or none, and the hub mends the rest."""
        with monkeypatch.context() as patch:
            patch.setenv("PYTHONPATH", str(AUDIT))
            patch.setenv("AUDIT_KILL", phase)
            assert "ended from outside" in str(await place.refused(UnavailableError))
        place.offline()
        with pytest.raises(HubError, match="not complete"):
            await place.fetch()
        place.variables.clear()
        assert (await place.fetch()).model.read_bytes() == CONTENT
        assert all(path.lstat().st_size < 1000 for path in place.left("*.incomplete"))

    @pytest.mark.parametrize("file", ["model-00002-of-00002.safetensors", "tokenizer.json", "/config.json"])
    async def test_a_kill_between_files_leaves_no_whole_checkpoint(
        self, file: str, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Though another program had named the commit, a checkpoint that came in part is not taken for one."""
        ref = place.home / "hub/models--org--checkpoint/refs/main"
        ref.parent.mkdir(parents=True)
        ref.write_text(COMMIT)
        with monkeypatch.context() as patch:
            patch.setenv("PYTHONPATH", str(AUDIT))
            patch.setenv("AUDIT_KILL", f"os.rename:{file}")
            await place.refused(UnavailableError, CHECKPOINT)
        place.offline()
        with pytest.raises(HubError, match="not complete"):
            await place.fetch(CHECKPOINT)
