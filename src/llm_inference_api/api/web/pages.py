"""PageService: the web pages."""

import asyncio

from google.api.httpbody_pb2 import HttpBody

from llm_inference.web.v1 import pages_pb2, pages_pb2_grpc
from llm_inference_api.errors import PageNotFoundError
from llm_inference_api.pages import PAGES
from llm_inference_api.rpc.call import Call


class PageServicer(pages_pb2_grpc.PageServiceServicer):
    """Serves the pages of `llm_inference_api.pages`."""

    async def GetPage(self, request: pages_pb2.GetPageRequest, call: Call) -> pages_pb2.GetPageResponse:
        """Returns a page's content, and sends its HTTP headers. Raises PageNotFoundError."""
        page = PAGES.get(request.path)
        if page is None:
            raise PageNotFoundError(request.path)
        content = await asyncio.to_thread(page.content)
        await call.send_initial_metadata(page.headers)
        return pages_pb2.GetPageResponse(http_body=HttpBody(content_type=page.content_type, data=content))
