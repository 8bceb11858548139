import pytest
import torch

from plmlight.networks.gpt import GPT
from plmlight.tasks import CausalLM, TorchLanguageModel


@pytest.fixture
def model() -> TorchLanguageModel:
    network = GPT(vocab_size=23, d_model=16, num_layers=2, num_heads=2, max_length=12, dropout=0.5)
    return TorchLanguageModel(CausalLM(network))


def whole(model: TorchLanguageModel, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.task(input_ids=torch.tensor([ids]))["logits"][0, -1]
    return logits


@pytest.mark.parametrize("prompts", [[[1, 2, 3], [4, 5, 6]], [[1, 2, 3, 4], [5], [6, 7]]])
def test_logits_equal_those_of_the_whole_row(model: TorchLanguageModel, prompts: list[list[int]]) -> None:
    logits = model.start(prompts)
    rows = [list(prompt) for prompt in prompts]
    for step in range(3):
        for row, scores in zip(rows, logits, strict=True):
            torch.testing.assert_close(scores, whole(model, row), atol=1e-5, rtol=1e-5)
        tokens = [(7 * step + i) % 23 for i in range(len(rows))]
        logits = model.step(tokens)
        rows = [[*row, token] for row, token in zip(rows, tokens, strict=True)]


def test_rows_leave_reorder_and_repeat(model: TorchLanguageModel) -> None:
    model.start([[1, 2, 3], [4], [5, 6]])
    model.select([2, 0, 0])
    logits = model.step([7, 8, 9])
    for scores, row in zip(logits, ([5, 6, 7], [1, 2, 3, 8], [1, 2, 3, 9]), strict=True):
        torch.testing.assert_close(scores, whole(model, row), atol=1e-5, rtol=1e-5)


def test_start_forgets(model: TorchLanguageModel) -> None:
    model.start([[1, 2, 3], [4]])
    torch.testing.assert_close(model.start([[5, 6]])[0], whole(model, [5, 6]), atol=1e-5, rtol=1e-5)
    assert model.max_length == 12


def test_an_empty_prompt_is_refused(model: TorchLanguageModel) -> None:
    with pytest.raises(ValueError, match="no tokens"):
        model.start([[1], []])
