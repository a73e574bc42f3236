"""`Errand`: what a model computes apart from the engine, with the vectors of its own context."""

from llm_inference_api.requests.classifying import Classify
from llm_inference_api.requests.inquiry import Embed
from llm_inference_api.requests.ranking import Rank

Errand = Embed | Rank | Classify
