"""The allow-list of models, by id."""

from collections.abc import Mapping, Sequence

from llm_inference_api.errors import InvalidFieldError, ModelNotFoundError, UnsupportedError, served_models
from llm_inference_api.models.model import Model
from llm_inference_api.models.served_model import Policy, ServedModel
from llm_inference_api.requests.model_status import ModelStatus, Observer
from llm_inference_api.requests.reference import HubOrigin, Reference
from llm_inference_api.shutdown import all_stopped


class Registry:
    """The models of the allow-list, by id."""

    def __init__(self, models: Mapping[str, Model], default: str | None = None) -> None:
        """Creates a registry; the empty id selects `default`, or the only model."""
        self._models = dict(models)
        self._default = next(iter(models)) if len(models) == 1 else default

    def statuses(self) -> list[ModelStatus]:
        """Returns the current status of all models, in the order of the allow-list."""
        return [model.status for model in self._models.values()]

    def get(self, model: str) -> Model:
        """Returns the model with this id; the empty id selects the default model.

        Raises:
            ModelNotFoundError: No model has this id.
            InvalidFieldError: The id is empty and there is no default.
        """
        model = model or self._default or ""
        if not model:
            raise InvalidFieldError("model", f"is missing; {served_models(tuple(self._models))}")
        if model not in self._models:
            raise ModelNotFoundError(model, *self._models)
        return self._models[model]

    async def delete_files(self, model: Model) -> int:
        """Deletes a model's files in the hub's cache. Returns the bytes freed.

        Raises:
            UnsupportedError: The model, or another one of the same files, is in use; or it is not from the hub.
            ServiceError: The files cannot be deleted.
        """
        for other in self._models.values() if isinstance(model.origin, HubOrigin) else ():
            if other.origin == model.origin and other is not model and other.uses_files:
                raise UnsupportedError("MODEL_IN_USE", f"model {other.status.id!r} has the same files; unload it first")
        return await model.delete_files()

    def end_watches(self) -> None:
        """Ends the watches of all models; see `Model.watch`."""
        for model in self._models.values():
            model.end_watches()

    async def close(self) -> None:
        """Stops all workers."""
        await all_stopped(*(model.close() for model in self._models.values()))


def build_registry(
    references: Sequence[Reference], policy: Policy, observer: Observer, default: str | None = None
) -> Registry:
    """Returns a registry with one unloaded model per reference; `default` is as for `Registry`."""
    return Registry({reference.id: ServedModel(reference, policy, observer) for reference in references}, default)
