import torch

from plmlight.heads import LMHead
from plmlight.nn import build, config_of
from plmlight.objectives import CausalLanguageModelling, KeyedRandom, Outputs

RNG = KeyedRandom(0, torch.zeros(2, dtype=torch.int64), torch.tensor(0))


def test_labels_are_the_next_tokens() -> None:
    ids = torch.arange(10).reshape(2, 5)
    batch = CausalLanguageModelling().corrupt({"input_ids": ids}, RNG)
    assert batch["input_ids"].tolist() == [[0, 1, 2, 3], [5, 6, 7, 8]]
    assert batch["labels"].tolist() == [[1, 2, 3, 4], [6, 7, 8, 9]]


def test_no_label_before_padding_or_another_document() -> None:
    ids = torch.arange(12).reshape(2, 6)
    mask = torch.tensor([[1, 1, 2, 2, 0, 0], [0, 0, 1, 1, 1, 1]])
    batch = CausalLanguageModelling().corrupt({"input_ids": ids, "attention_mask": mask}, RNG)
    assert batch["labels"].tolist() == [[1, -100, 3, -100, -100], [-100, -100, 9, 10, 11]]
    assert batch["attention_mask"].tolist() == [[1, 1, 2, 2, 0], [0, 0, 1, 1, 1]]


def test_loss_is_the_sum_in_nats_and_the_count() -> None:
    head = LMHead(4, 7)
    hidden = torch.randn(2, 3, 4)
    labels = torch.randint(7, (2, 3))
    parts = CausalLanguageModelling().loss(Outputs(hidden, head), {"labels": labels})
    total, count = parts["loss"]
    expected = torch.nn.functional.cross_entropy(head(hidden).flatten(0, 1), labels.flatten())
    torch.testing.assert_close(total / count, expected)


def test_source_is_one_longer_than_the_network() -> None:
    assert CausalLanguageModelling().source_length(64) == 65


def test_is_rebuilt_from_its_config() -> None:
    assert isinstance(build(config_of(CausalLanguageModelling())), CausalLanguageModelling)
