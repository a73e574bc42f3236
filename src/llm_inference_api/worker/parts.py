"""Composition root of a worker: builds the engine, preparer, embedder and ranker for a model file."""

import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from llm_inference_api.backends.ggml import backend as ggml
from llm_inference_api.backends.ggml import file as ggml_file
from llm_inference_api.backends.llama import backend as llama
from llm_inference_api.backends.llama.classifier import LlamaClassifier, labels_of
from llm_inference_api.backends.llama.embedder import LlamaEmbedder
from llm_inference_api.backends.llama.ranker import LlamaRanker, ranking_problem
from llm_inference_api.backends.llama.vocabulary import Vocabulary
from llm_inference_api.engine.classifier import Classifier
from llm_inference_api.engine.embedder import Cuts, Embedder
from llm_inference_api.engine.engine import Engine
from llm_inference_api.engine.pooling import Pooling, trained_cuts
from llm_inference_api.engine.prefix_cache import PrefixCache
from llm_inference_api.engine.prefix_store import PrefixStore
from llm_inference_api.engine.prompt_chunk import Chunk
from llm_inference_api.engine.ranker import Ranker
from llm_inference_api.engine.scheduler import Scheduler
from llm_inference_api.engine.state_store import StateStore
from llm_inference_api.engine.step_budget import StepBudget
from llm_inference_api.errors import ModelFailedError, UnsupportedError
from llm_inference_api.requests.engine_config import DEFAULT_CONTEXT_LENGTH, ContextChoice, EngineConfig
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.text.chat_template import TOOL_USE, ChatTemplate
from llm_inference_api.text.families.switching import thinking_options
from llm_inference_api.text.library_tokenizer import DEFAULT, load_templates, load_tokenizer
from llm_inference_api.text.pairs import Pair, PairTokenizer
from llm_inference_api.text.rank_template import NAME as RANK_TEMPLATE
from llm_inference_api.text.rank_template import RankTemplate
from llm_inference_api.text.text_preparation import TextPreparation
from llm_inference_api.text.tokenizer import Tokenizer
from llm_inference_api.worker.inspector import Inspector
from llm_inference_api.worker.preparer import Preparer

SEATS_PER_SLOT = 4
"""Seats per slot. Seats beyond the running sequences keep the prefixes of ended requests."""

Context = TypeVar("Context")

logger = logging.getLogger(__name__)


class Parts(NamedTuple):
    """The components that serve one model, and the model's properties."""

    engine: Engine | None
    """None for a model that only computes embeddings."""
    preparer: Preparer
    inspector: Inspector
    embedder: Embedder | None
    """None for a model that computes no embeddings."""
    info: ModelInfo
    ranker: Ranker | None = None
    """None for a model that cannot rank."""
    classifier: Classifier | None = None
    """None for a model whose head has no labels."""


def build(config: EngineConfig, on_progress: Callable[[float], None]) -> Parts:
    """Loads the model file and returns the components that serve it.

    Args:
        config: Settings of the worker's engine.
        on_progress: Called with the loaded fraction of the weights, 0 to 1.

    Raises:
        ModelFailedError: The file cannot be loaded, or the settings do not fit it.
    """
    if ggml_file.is_legacy(config.model_path):
        return _build_legacy(config)
    model = llama.LlamaModel(config.model_path, config.gpu, on_progress, config.adapters)
    if model.is_encoder:
        return _build_encoder(config, model)
    vocabulary = model.vocabulary
    tokenizer = load_tokenizer(config.tokenizer, vocabulary)
    template = _template(load_templates(config.tokenizer) or model.chat_templates, vocabulary)
    trained = model.trained_context_length
    slots = min(config.slots, model.most_seats)
    seats = min(slots if model.has_states else SEATS_PER_SLOT * slots, llama.MAX_SEATS)
    backend, context_length = largest_context(
        config.context,
        trained,
        lambda length, cells: llama.LlamaBackend(
            model,
            llama.ContextSizes(
                _cells_within_rope(model.metadata, length, cells),
                seats,
                config.batch_tokens,
                config.threads,
                config.reproducible,
            ),
        ),
    )
    scheduler = Scheduler(
        PrefixCache(seats, backend.cells),
        slots,
        scoped_prefixes=config.scoped_prefixes,
        keeps_order=backend.keeps_order,
        chunk=None if backend.exact_block == 1 else Chunk(llama.EXACT_CHUNK, backend.exact_block),
        store=_store(config.prefix_store, model),
        whole_states=not model.goes_back,
    )
    engine = Engine(backend, scheduler, StepBudget(config.batch_tokens, config.max_gap))
    preparation = TextPreparation.from_metadata(model.metadata)
    tokens = config.default_max_tokens
    special, settles = vocabulary.special, not model.goes_back
    preparer = Preparer(tokenizer, template, backend, preparation, context_length, tokens, special, settles)
    embedder = _embedder(config, model, context_length, _plainly(preparer.tokenize))
    ranker = _ranker(config, model, context_length, preparer, tokenizer)
    info = _info(model, template, context_length, slots, backend.cells)
    info = info._replace(
        embedding_length=model.embedding_length if embedder else 0,
        ranks=ranker is not None,
        adapters=tuple(config.adapters),
    )
    return Parts(engine, preparer, Inspector(preparer, vocabulary), embedder, info, ranker)


def _store(capacity: int | None, model: llama.LlamaModel) -> PrefixStore | StateStore | None:
    if not capacity:
        return None
    return PrefixStore(capacity) if model.goes_back else StateStore(capacity)


def _template(sources: Mapping[str, str], vocabulary: Vocabulary) -> ChatTemplate:
    """Returns the default template with that for chats with tools, and lets the vocabulary keep their markers."""
    texts = (vocabulary.bos_text(), vocabulary.eos_text(), vocabulary.control_texts(), vocabulary.added_texts())
    template = ChatTemplate(sources.get(DEFAULT), *texts)
    templates = {DEFAULT: template}
    if TOOL_USE in sources:
        template.with_tools = templates[TOOL_USE] = ChatTemplate(sources[TOOL_USE], *texts)
    for name, one in templates.items():
        if one.form.problem:
            logger.warning("chat template %r: its tool calls have no known form: %s", name, one.form.problem)
    vocabulary.keep(frozenset[str]().union(*(one.form.markers for one in templates.values())))
    return template


def largest_context(context: ContextChoice, trained: int, create: Callable[[int, int], Context]) -> tuple[Context, int]:
    """Returns a context and its length in tokens; a shorter one than wanted if that is allowed and memory is lacking.

    The service knows the memory of the machine, but not that of its GPUs.

    Args:
        context: The wanted sizes.
        trained: Context length that the model was trained on; 0 if unknown.
        create: Creates a context of a length and a KV cache size, both in tokens; raises ModelFailedError if it cannot.

    Raises:
        ModelFailedError: There is no memory for the length, or for `DEFAULT_CONTEXT_LENGTH` if it may be lowered.
    """
    length, cells = context.sizes(trained)
    while True:
        try:
            return create(length, cells), length
        except ModelFailedError:
            if not context.may_shrink or length <= DEFAULT_CONTEXT_LENGTH:
                raise
        length = max(length // 2, DEFAULT_CONTEXT_LENGTH)
        cells = max(cells // 2, length)
        logger.warning("there is no memory for the trained context; trying one of %d tokens", length)


def _build_encoder(config: EngineConfig, model: llama.LlamaModel) -> Parts:
    """Same as `build`, for an encoder, which only computes embeddings."""
    vocabulary, metadata = model.vocabulary, model.metadata
    tokenizer = load_tokenizer(config.tokenizer, vocabulary, metadata)
    template = ChatTemplate(None, "", "", vocabulary.control_texts())
    context_length, _ = config.context.sizes(model.trained_context_length)
    preparation = TextPreparation.from_metadata(metadata)
    tokens = config.default_max_tokens
    preparer = Preparer(_AnyLength(tokenizer), template, _NoSamplers(), preparation, context_length, tokens)
    embedder = _embedder(config, model, context_length, _plainly(preparer.tokenize))
    labels = labels_of(model)
    ranker = None if labels else _ranker(config, model, context_length, preparer, tokenizer)
    if embedder is None and ranker is None and not labels:
        raise ModelFailedError(f"the model is an encoder that cannot rank: {ranking_problem(model)}")
    info = _info(model, template, context_length, config.slots, 0)
    width = model.embedding_length if embedder else 0
    info = info._replace(generates=False, embedding_length=width, ranks=ranker is not None, labels=labels)
    head = LlamaClassifier(model, context_length, config.threads) if labels else None
    classifier = Classifier(_plainly(preparer.tokenize), head, context_length) if head else None
    return Parts(None, preparer, Inspector(preparer, vocabulary), embedder, info, ranker, classifier)


def _embedder(
    config: EngineConfig, model: llama.LlamaModel, context_length: int, tokenize: Callable[[str], list[int]]
) -> Embedder | None:
    if model.pooling is Pooling.RANK:
        return None
    vectors = LlamaEmbedder(model, context_length, config.threads)
    cuts = Cuts(config.cuts_vectors, trained_cuts(model.metadata))
    return Embedder(tokenize, vectors, model.vocabulary.size, context_length, model.embedding_length, cuts)


def _ranker(
    config: EngineConfig, model: llama.LlamaModel, context_length: int, preparer: Preparer, tokenizer: PairTokenizer
) -> Ranker | None:
    if model.pooling is not Pooling.RANK and not model.has_head:
        return None
    source = model.chat_templates.get(RANK_TEMPLATE)
    template = RankTemplate(source, model.vocabulary.control_texts()) if source else None
    problem = ranking_problem(model) or (template.problem if template else None)
    if template is None and not model.is_encoder:
        problem = problem or f"it is a decoder without a template {RANK_TEMPLATE!r}"
    if problem:
        logger.warning("the model cannot rank: %s", problem)
        return None

    def pair(query: str, document: str) -> Pair:
        if template is None:
            return preparer.pair(tokenizer, query, document)
        tokens = preparer.tokenize_parts(template.render(query, document), add_special=False)
        return Pair(tokens, len(tokens))

    return Ranker(pair, LlamaRanker(model, context_length, config.threads), context_length)


def _plainly(tokenize: Callable[..., list[int]]) -> Callable[[str], list[int]]:
    """Returns a tokenizer for embeddings: adds the BOS/EOS tokens, and does not parse control tokens in the text."""
    return partial(tokenize, add_special=True, parse_special=False)


class _AnyLength:
    """An encoder's tokenizer, one token of which may stand for a word of any length: text has no least token count."""

    longest_piece = sys.maxsize

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.size = tokenizer.size
        self.tokenize = tokenizer.tokenize


class _NoSamplers:
    """Sampler factory of an encoder. Never called by a request: the registry rejects generation for such models."""

    def sampler(self, *_: Any, **__: Any) -> Any:
        """Raises UnsupportedError."""
        raise UnsupportedError("GENERATION_UNSUPPORTED", "the model generates no text")

    mask = masked_sampler = arguments = terminal = text = sampler


def _cells_within_rope(metadata: Mapping[str, str], context_length: int, cells: int) -> int:
    """Returns the size of the KV cache in cells, limited for longrope models within their original context.

    llama.cpp applies the long RoPE factors if the cache of all sequences exceeds the original context length, although
    the context of each sequence may not.
    """
    prefix = f"{metadata.get('general.architecture')}.rope.scaling"
    original = int(metadata.get(f"{prefix}.original_context_length", 0))
    is_longrope = metadata.get(f"{prefix}.type") == "longrope"
    return original if is_longrope and context_length <= original < cells else cells


def _build_legacy(config: EngineConfig) -> Parts:
    """Same as `build`, for a legacy GGML file, which serves one sequence at a time."""
    if config.adapters:
        raise ModelFailedError("a legacy GGML model has no adapters (LLM_ADAPTERS); convert it to GGUF")
    model = ggml.GgmlModel(config.model_path, ggml_file.read(config.model_path), config.context.length)
    backend = ggml.GgmlBackend(model, config.threads)
    _warn_of_legacy(config)
    template = ChatTemplate(None, "", "", model.vocabulary.control_texts())
    context_length = min(config.context.length or DEFAULT_CONTEXT_LENGTH, model.trained_context_length)
    scheduler = Scheduler(PrefixCache(ggml.SEATS, backend.cells), ggml.SEATS, scoped_prefixes=config.scoped_prefixes)
    engine = Engine(backend, scheduler, StepBudget(config.batch_tokens, config.max_gap))
    tokens = config.default_max_tokens
    preparer = Preparer(model.vocabulary, template, backend, TextPreparation(), context_length, tokens)
    info = _info(model, template, context_length, ggml.SEATS, backend.cells)
    return Parts(engine, preparer, Inspector(preparer, model.vocabulary), None, info)


def _warn_of_legacy(config: EngineConfig) -> None:
    logger.info("a legacy GGML model computes one request at a time; LLM_MAX_CONCURRENT_REQUESTS has no effect on it")
    if config.context.cache_tokens is not None:
        logger.warning("LLM_KV_CACHE_TOKENS has no effect on a legacy GGML model: its cache holds one context")
    if config.gpu.layers > 0:
        logger.warning("LLM_GPU_LAYERS has no effect on a legacy GGML model: it is computed on the CPU")


def _info(
    model: llama.LlamaModel | ggml.GgmlModel, template: ChatTemplate, context_length: int, slots: int, cells: int
) -> ModelInfo:
    return ModelInfo(
        description=model.description,
        parameters=model.parameters,
        size_bytes=model.size_bytes,
        context_length=context_length,
        trained_context_length=model.trained_context_length,
        vocabulary_size=model.vocabulary.size,
        slots=slots,
        cache_tokens=cells,
        has_chat_template=template.is_own,
        devices=model.devices,
        tool_format=template.form.name,
        opens_thoughts=template.opens_thoughts,
        thinking=thinking_options(template.form),
        chat_template=template.source,
    )
