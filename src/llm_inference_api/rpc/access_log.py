"""The line that the log has of each call."""

import logging
import time

from llm_inference_api.observability.log import fields
from llm_inference_api.rpc.call import Call

logger = logging.getLogger("llm_inference_api.access")


def log_access(call: Call) -> None:
    """Logs the end of a call."""
    values = {
        "code": call.code.name,
        "duration_ms": round((time.monotonic() - call.started_at) * 1000, 1),
        "peer": call.peer or None,
        "caller": call.caller,
        **call.facts,
        "error": call.error,
    }
    logger.info(call.method.rpartition("/")[2], extra=fields(**call.identity, **values))
