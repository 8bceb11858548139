from __future__ import annotations

import re

from plmlight.decoding import ANALYSERS
from plmlight.tasks import CausalLM, MaskedLM, PermutationLM, Seq2Seq, Task, TextClassification, WordVectorModel
from plmlight.text import special_token_ids

_MARKS = re.compile(r"<e1>|\[")


def question(task: Task, python: bool = False, pairs: bool = False) -> str:
    """What a person may ask a task first.

    Args:
        task: with its tokenizer.
        python: whether it has read source text of Python.
        pairs: whether the texts with labels that it has read are pairs of texts.

    Returns:
        Arguments of ``infer``. A small language model is sampled from, as it repeats itself where it is not.
    """
    if isinstance(task, CausalLM) and task.text_form.chat is not None:
        return '--text "an instruction"'
    if isinstance(task, CausalLM):
        text = "class Reader:" if python else "a text to go on from"
        return f'--text "{text}" --max_new_tokens 128 --temperature 0.8 --top_p 0.95'
    if isinstance(task, MaskedLM | PermutationLM) and task.tokenizer is not None:
        ids = special_token_ids(task.tokenizer)
        mask = task.tokenizer.id_to_token(ids["mask"]) if "mask" in ids else "mask"
        return f'--text "a text with one {mask} in it"'
    if isinstance(task, Seq2Seq):
        return _sequence_question(task)
    if isinstance(task, WordVectorModel) and task.tokenizer is not None:
        return f'--text "{task.tokenizer.id_to_token(1) or "word"}"'  # the most frequent one
    analyser = ANALYSERS.get(type(task).__name__)
    first = {} if analyser is None else analyser.examples()[0]
    if "question" in first:
        return '--question "a question" --context "a text that answers it"'
    if _MARKS.search(first.get("text", "")):
        return f'--text "{first["text"]}"'  # with what the task is asked about marked in it
    if first and "text" not in first:
        return "--input requests.jsonl"  # a text alone is no request of it
    if pairs and isinstance(task, TextClassification):
        return '--text "a text" --pair "another text"'
    return '--text "a text"'


def _sequence_question(task: Seq2Seq) -> str:
    form = task.text_form
    if form.history:
        return "--chat"
    if len(form.prefixes) > 1:
        return f'--text "a text" --prefix "{next(iter(form.prefixes))}"'
    return '--text "a text"' + ("" if task.decoding_options().num_beams > 1 else " --num_beams 4")
