"""RankingService: documents by their relevance to a query."""

from llm_inference.v1 import generation_pb2, ranking_pb2, ranking_pb2_grpc
from llm_inference_api.generation.inquiries import Inquiries
from llm_inference_api.requests.inquiry import Input
from llm_inference_api.requests.ranking import Rank, Ranked, best, checked_rank
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop


class RankingServicer(ranking_pb2_grpc.RankingServiceServicer):
    """Translates between RPCs and requests to rank."""

    def __init__(self, inquiries: Inquiries) -> None:
        self._inquiries = inquiries

    async def Rank(self, request: ranking_pb2.RankRequest, call: Call) -> ranking_pb2.RankResponse:
        """Returns the documents that were asked for, the most relevant one first."""
        size = request.ByteSize()
        rank = await off_loop(size, _rank, request)
        model, found = await self._inquiries.rank(request.model, rank, call)
        tokens = sum(relevance.tokens for relevance in found)
        usage = generation_pb2.Usage(prompt_tokens=tokens, total_tokens=tokens)
        results = [_message(item, request) for item in best(found, _top_n(request))]
        return ranking_pb2.RankResponse(model=model, results=results, usage=usage)


def _rank(request: ranking_pb2.RankRequest) -> Rank:
    documents = [Input(f"documents[{index}]", text) for index, text in enumerate(request.documents)]
    return checked_rank(request.query, documents, _top_n(request))


def _top_n(request: ranking_pb2.RankRequest) -> int | None:
    return request.top_n if request.HasField("top_n") else None


def _message(item: Ranked, request: ranking_pb2.RankRequest) -> ranking_pb2.RankedDocument:
    return ranking_pb2.RankedDocument(
        index=item.place,
        relevance_score=item.relevance.score,
        document=request.documents[item.place] if request.return_documents else None,
        tokens=item.relevance.tokens,
    )
