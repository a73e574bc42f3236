import pytest

from llm_inference_api.text.chat_template import ChatTemplate
from llm_inference_api.text.families.form import Switch

HEAD = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>"
END = "{% endif %}"


EFFORT = "{% if reasoning_effort is undefined %}{% set reasoning_effort = 'DEFAULT' %}{% endif %}"
REFUSED = "{% if reasoning_effort not in [WORDS] %}{{ raise_exception('no') }}{% endif %}{{ reasoning_effort }}"
WORDS = EFFORT.replace("DEFAULT", "low") + REFUSED.replace("WORDS", "'low', 'high'")
NO_THINK = EFFORT.replace("DEFAULT", "no_think") + REFUSED.replace("WORDS", "'low', 'high', 'no_think'")
HARD = """{% if thinking is defined and thinking %}{% if reasoning_effort == 'max' %}Think hard.{% endif %}<think>
{% else %}</think>{% endif %}"""
TESTED = "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
MODE = "{% if thinking_mode == 'disabled' %}</think>{% elif thinking_mode == 'enabled' %}<think>{% endif %}"
BUDGET = "{% if thinking_budget is defined and thinking_budget == 0 %}<think></think>{% endif %}"


@pytest.mark.parametrize(
    ("source", "switch"),
    [
        ("", None),
        (TESTED, Switch("enable_thinking")),
        ("{% if enable_thinking | default(false) %}<think>{% endif %}", Switch("enable_thinking", default=False)),
        ("{% if not enable_thinking %}<think></think>{% endif %}", Switch("enable_thinking")),
        ("{% if not thinking %}</think>{% endif %}", Switch("thinking", default=False)),
        (MODE, Switch("thinking_mode", "enabled", "disabled", default=False)),
        (WORDS, Switch("", effort_variable="reasoning_effort", efforts=("low", "high"))),
        (HARD, Switch("thinking", effort_variable="reasoning_effort", efforts=("max",), default=False)),
        (NO_THINK, Switch("reasoning_effort", "high", "no_think", "reasoning_effort", ("low", "high"), default=False)),
        (BUDGET, Switch("thinking_budget", -1, 0)),
    ],
)
def test_switch_is_found_by_what_it_changes(source: str, switch: Switch | None) -> None:
    """The variable, its values, the words of the efforts, and what the template does by itself."""
    assert ChatTemplate(HEAD + source + END, "", "", ()).form.switch == switch
