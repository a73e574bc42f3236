"""Client of llm-inference-api: `connect` for threads, `llm_inference_client.aio.connect` for asyncio.

```python
from llm_inference.v1 import inference_pb2
from llm_inference_client import ServiceError, connect

with connect("localhost:50051") as client:
    answer = client.inference.Generate(inference_pb2.GenerateRequest(prompt="Once upon a time"))
```

The stubs are generated from the contract; what is documented there holds here. The client adds to each call a
deadline, the API key and the W3C trace context; the channel tries again what a replica refused while it starts or
stops, and notices a dead connection. A call that fails raises ServiceError.
"""

from llm_inference_client.channel import TIMEOUT, Tls
from llm_inference_client.errors import ServiceError
from llm_inference_client.sync import Client, connect

__all__ = ["TIMEOUT", "Client", "ServiceError", "Tls", "connect"]
