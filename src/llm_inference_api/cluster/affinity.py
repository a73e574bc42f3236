"""Which requests are sent to the same replica, because it may have computed how they begin."""

import hashlib

from llm_inference_api.requests.request import GenerationRequest, TokenPrompt

_BEGINNING = 1024
"""Characters, or tokens, of a prompt that tell conversations apart."""


def affinity_key(request: GenerationRequest) -> str:
    """Returns the key of the requests that belong together: their session, or how the prompt begins.

    A chat begins with its messages up to the first one of the user, which later turns repeat.
    """
    key = f"{request.caller}\0{request.session or _beginning(request)}"
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _beginning(request: GenerationRequest) -> str:
    if isinstance(request.prompt, str):
        return request.prompt[:_BEGINNING]
    if isinstance(request.prompt, TokenPrompt):
        return str(request.prompt.ids[:_BEGINNING])
    texts: list[str] = []
    for message in request.prompt:
        texts.append(message.content)
        if message.role == "user":
            break
    return "\0".join(texts)
