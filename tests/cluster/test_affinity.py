from dataclasses import replace

from llm_inference_api.cluster.affinity import affinity_key
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.request import GenerationRequest, Sampling

FIRST = (Message("system", "Be brief."), Message("user", "Hello"))


def chat(*messages: Message, **fields: str) -> GenerationRequest:
    return replace(GenerationRequest("a", messages, Sampling(seed=1)), **fields)


def test_turns_of_a_conversation_have_one_key() -> None:
    later = (*FIRST, Message("assistant", "Hi"), Message("user", "Bye"))
    assert affinity_key(chat(*later)) == affinity_key(chat(*FIRST))


def test_conversations_behind_one_system_prompt_have_different_keys() -> None:
    other = (FIRST[0], Message("user", "Good morning"))
    assert affinity_key(chat(*other)) != affinity_key(chat(*FIRST))


def test_requests_of_a_session_have_one_key() -> None:
    one, other = chat(Message("user", "a"), session="s"), chat(Message("user", "b"), session="s")
    assert affinity_key(one) == affinity_key(other)


def test_sessions_of_two_callers_are_different_ones() -> None:
    one, other = chat(*FIRST, session="s", caller="a"), chat(*FIRST, session="s", caller="b")
    assert affinity_key(one) != affinity_key(other)
