"""Pages, as bytes."""

import asyncio
from typing import Any

import grpc.aio
from google.api.httpbody_pb2 import HttpBody

from llm_inference.web.v1 import pages_pb2, pages_pb2_grpc
from llm_inference_api.errors import PageNotFoundError
from llm_inference_api.pages import PAGES


class PageServicer(pages_pb2_grpc.PageServiceServicer):  # type: ignore[misc]
    """Serves the pages."""

    async def GetPage(
        self, request: pages_pb2.GetPageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pages_pb2.GetPageResponse:
        """Returns a page. Raises PageNotFoundError."""
        page = PAGES.get(request.path)
        if page is None:
            raise PageNotFoundError(request.path)
        content = await asyncio.to_thread(page.content)
        await context.send_initial_metadata(page.headers)
        return pages_pb2.GetPageResponse(http_body=HttpBody(content_type=page.content_type, data=content))
