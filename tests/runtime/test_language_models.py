from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmlight import runtime
from plmlight.decoding import DecodingOptions, generate
from tests.runtime.bundles import EOS, LENGTH, Reference, byte_tokenizer, make_bundle

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [1], [200, 100, 50]]
GRAPHS = ["portable", "in_place"]


@pytest.mark.parametrize("graph", GRAPHS)
def test_logits_are_the_references_through_a_life_of_rows(bundle: Path, graph: str) -> None:
    """Ragged prompts, steps, rows that leave, come twice and swap."""
    model, reference = runtime.load(bundle, graph=graph).model, Reference()
    np.testing.assert_allclose(model.start(PROMPTS), reference.start(PROMPTS), atol=1e-4)
    for rows in ([0, 1, 2], [2, 1, 0], [1, 1, 2], [1, 2], [1, 1, 0, 0], [3], [0]):
        for each in (model, reference):
            each.select(rows)
        tokens = [7 * row + len(rows) for row in range(len(rows))]
        np.testing.assert_allclose(model.step(tokens), reference.step(tokens), atol=1e-4)


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_start_forgets_what_was_before(bundle: Path, graph: str) -> None:
    model = runtime.load(bundle, graph=graph).model
    model.start(PROMPTS)
    model.step([1, 2, 3])
    np.testing.assert_allclose(model.start([[9, 8]]), Reference().start([[9, 8]]), atol=1e-4)


@pytest.mark.parametrize("graph", GRAPHS)
def test_rows_go_on_to_the_models_length(bundle: Path, graph: str) -> None:
    """The in-place buffer grows on the way, with ragged rows in it."""
    options = DecodingOptions(max_new_tokens=1000)
    model = runtime.load(bundle, graph=graph).model
    found = generate(model, PROMPTS, options)
    wanted = generate(Reference(), PROMPTS, options)
    assert [row[0].token_ids for row in found] == [row[0].token_ids for row in wanted]
    assert len(found[1][0].token_ids) == LENGTH - 1


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 4, "num_return_sequences": 3},
        {"temperature": 1.0, "top_k": 20, "num_return_sequences": 3, "seed": 2},
        {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    ],
)
def test_every_way_to_decode_gives_the_references_answers(bundle: Path, graph: str, options: dict[str, Any]) -> None:
    settled = DecodingOptions(max_new_tokens=25, eos_token_id=EOS, **options)
    found = generate(runtime.load(bundle, graph=graph).model, PROMPTS, settled, byte_tokenizer())
    wanted = generate(Reference(), PROMPTS, settled, byte_tokenizer())
    assert [[each.token_ids for each in row] for row in found] == [[each.token_ids for each in row] for row in wanted]


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_graph_without_hidden_states_refuses_contrastive_search(bundle: Path, graph: str) -> None:
    options = DecodingOptions(penalty_alpha=0.6, top_k=4)
    with pytest.raises(ValueError, match=r"^the graph has no output 'last_hidden_state', which contrastive search"):
        generate(runtime.load(bundle, graph=graph).model, PROMPTS, options)


def test_a_buffer_of_fixed_length_is_taken_as_it_is(tmp_path: Path) -> None:
    model = runtime.load(make_bundle(tmp_path / "fixed", buffer=LENGTH)).model
    np.testing.assert_allclose(model.start(PROMPTS), Reference().start(PROMPTS), atol=1e-4)


def test_the_buffer_is_no_longer_than_needed(bundle: Path) -> None:
    model: Any = runtime.load(bundle).model
    model.start([[1, 2, 3]])
    assert model._capacity < LENGTH


def test_more_tokens_than_the_model_holds_are_an_error(bundle: Path) -> None:
    model = runtime.load(bundle).model
    model.start([[1] * LENGTH])
    with pytest.raises(ValueError, match=f"length of {LENGTH} tokens is used up"):
        model.step([1])
