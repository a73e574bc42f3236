"""A client and a service made of the stubs of the last release, which is why they run in a process of their own.

Usage: `older_peer.py ask ADDRESS MODEL` prints what the client gets, as JSON; `older_peer.py serve` prints its port and
serves until standard input ends.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import llm_inference.v1
from llm_inference.v1 import inference_pb2, inference_pb2_grpc, models_pb2, models_pb2_grpc

SAMPLING = {"temperature": 0, "max_tokens": 8, "ignore_eos": True}


def ask(address: str, model: str) -> dict[str, Any]:
    """Returns what the client gets of each method."""
    message = inference_pb2.ChatMessage(role="user", content="Who wrote Hamlet?")
    chat = inference_pb2.ChatRequest(model=model, messages=[message], **SAMPLING)
    prompt = inference_pb2.GenerateRequest(model=model, prompt="Once upon a time", **SAMPLING)
    with grpc.insecure_channel(address) as channel:
        inference = inference_pb2_grpc.InferenceServiceStub(channel)
        models = models_pb2_grpc.ModelServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        generated, chatted = inference.Generate(prompt), inference.Chat(chat)
        parts = list(inference.ChatStream(chat))
        listed = models.ListModels(models_pb2.ListModelsRequest()).models
        return {
            "stubs": list(llm_inference.v1.__path__),
            "generated": [generated.text, generated.finish_reason, generated.usage.completion_tokens],
            "chatted": [chatted.message.content, chatted.finish_reason, chatted.usage.completion_tokens],
            "streamed": ["".join(part.delta.content for part in parts), parts[-1].finish_reason],
            "listed": {model.id: model.state for model in listed},
            "serves": health.Check(health_pb2.HealthCheckRequest()).status,
        }


class Service(inference_pb2_grpc.InferenceServiceServicer, models_pb2_grpc.ModelServiceServicer):
    """Answers with the prompt."""

    def Generate(self, request: Any, context: grpc.ServicerContext) -> inference_pb2.GenerateResponse:  # noqa: N802
        return inference_pb2.GenerateResponse(text=request.prompt)


def serve() -> None:
    """Serves until standard input ends."""
    server = grpc.server(ThreadPoolExecutor(2))
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(Service(), server)
    models_pb2_grpc.add_ModelServiceServicer_to_server(Service(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)  # noqa: T201
    server.start()
    sys.stdin.read()
    server.stop(0).wait()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        print(json.dumps(ask(*sys.argv[2:])))  # noqa: T201
