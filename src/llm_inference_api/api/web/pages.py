"""PageService and DocumentService: the web pages, and the API's description."""

import asyncio

from google.api.httpbody_pb2 import HttpBody

from llm_inference.web.v1 import pages_pb2, pages_pb2_grpc
from llm_inference_api.errors import PageNotFoundError
from llm_inference_api.pages import OPENAPI, Page, find
from llm_inference_api.rpc.call import Call


class PageServicer(pages_pb2_grpc.PageServiceServicer):
    """Serves the pages of `llm_inference_api.pages`."""

    async def GetPage(self, request: pages_pb2.GetPageRequest, call: Call) -> pages_pb2.GetPageResponse:
        """Returns a page's content, and sends its HTTP headers. Raises PageNotFoundError."""
        page = await asyncio.to_thread(find, request.path)
        if page is None:
            raise PageNotFoundError(request.path)
        return pages_pb2.GetPageResponse(http_body=await _body(page, call))


class DocumentServicer(pages_pb2_grpc.DocumentServiceServicer):
    """Serves the OpenAPI document."""

    async def GetDocument(self, request: pages_pb2.GetDocumentRequest, call: Call) -> pages_pb2.GetDocumentResponse:
        """Returns the document, and sends its HTTP headers."""
        return pages_pb2.GetDocumentResponse(http_body=await _body(OPENAPI, call))


async def _body(page: Page, call: Call) -> HttpBody:
    content = await asyncio.to_thread(page.content)
    await call.send_initial_metadata(page.headers)
    return HttpBody(content_type=page.content_type, data=content)
