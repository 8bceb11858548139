from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

import plmlight
from plmlight.data import RelationData
from plmlight.decoding.relations import RelationExtractor
from plmlight.networks import BERT, GPT, T5, EncoderDecoderPair
from plmlight.nn import config_of
from plmlight.nn.growing import grow_vocabulary
from plmlight.optim import AdamW, Constant
from plmlight.tasks import RelationExtraction, TorchOutputModel

pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:You have overridden", "ignore:The number of training batches"),
]
LABELS, MARKERS = ["A(e1,e2)", "A(e2,e1)", "Other"], [50, 51, 52, 53]


def network(vocab_size: int = 50, **changed: Any) -> BERT:
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 2, "max_length": 64, "dropout": 0.0, **changed}
    return BERT(vocab_size, **sizes)


def written(folder: Path) -> str:
    """Which of two things is the cause is said by the verb, and by which is the first entity."""
    items, number = [], 0
    for one in ("rain", "wind", "fire", "frost"):
        for other in ("dust", "noise", "smoke", "fear"):
            for verb, turned, label in (
                ("makes", False, LABELS[0]), ("makes", True, LABELS[1]), ("and", False, LABELS[2])
            ):  # fmt: skip
                first, second = ("2", "1") if turned else ("1", "2")
                text = f"The <e{first}>{one}</e{first}> {verb} <e{second}>{other}</e{second}> ."
                items.append(f'{number}\t"{text}"\n{label}\nComment:\n\n')
                number += 1
    (folder / "train.txt").write_text("".join(items))
    return str(folder / "train.txt")


def test_it_learns_comes_back_and_answers(tmp_path: Path) -> None:
    file = written(tmp_path)
    data = RelationData(file, validation_files=file, batch_size=16, cache_folder=str(tmp_path / "cache"))
    bert = network(data.vocab_size - 4)  # as one that was trained before without markers
    task = RelationExtraction(
        bert, data.labels, data.markers, head_dropout=0.0, optimizer=AdamW(lr=3e-3), schedule=Constant()
    )
    trainer = pl.Trainer(
        max_epochs=8, default_root_dir=tmp_path, logger=False, enable_checkpointing=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, check_val_every_n_epoch=8,
    )  # fmt: skip
    task.tokenizer = data.tokenizer
    trainer.fit(task, data)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    wanted = ("accuracy", "precision", "recall", "micro_f1", "macro_f1", "semeval_f1")
    assert {metrics[f"val_{name}"] for name in wanted} == {100.0}
    path = tmp_path / "x.ckpt"
    trainer.save_checkpoint(path)
    loaded = plmlight.load(path)
    assert isinstance(loaded, RelationExtraction)
    assert loaded.facts() == task.facts()
    assert loaded.network.vocab_size == data.vocab_size
    assert plmlight.BERT.from_pretrained(str(path)).vocab_size == data.vocab_size
    extractor = RelationExtractor(TorchOutputModel(loaded), data.tokenizer, loaded.facts())
    found = extractor.extract(["The <e2>fire</e2> makes <e1>dust</e1> .", "The <e1>wind</e1> and <e2>noise</e2> ."])
    assert [(each.label, each.head, each.tail) for each in found] == [
        ("A(e2,e1)", "dust", "fire"), ("Other", "wind", "noise")
    ]  # fmt: skip


def test_the_vector_is_that_of_both_start_markers() -> None:
    task = RelationExtraction(network(), LABELS, MARKERS).eval()
    ids = torch.tensor([[2, 50, 7, 51, 8, 52, 9, 53, 3], [2, 52, 7, 8, 53, 50, 9, 51, 3]])
    hidden = task.network(ids)
    first = torch.stack([hidden[0, 1], hidden[1, 5]])
    second = torch.stack([hidden[0, 5], hidden[1, 1]])
    logits = task(ids)["logits"]
    torch.testing.assert_close(logits, task.head(torch.cat([first, second], -1)), rtol=1e-5, atol=1e-5)
    padded = torch.cat([ids, torch.zeros(2, 4, dtype=torch.int64)], 1)
    torch.testing.assert_close(task(padded, (padded > 0).long())["logits"], logits, rtol=1e-5, atol=1e-5)


def test_a_decoder_is_read_after_the_entities() -> None:
    task = RelationExtraction(GPT(50, d_model=16, num_layers=1, num_heads=2), LABELS, MARKERS).eval()
    ids = torch.tensor([[2, 50, 7, 51, 8, 52, 9, 53, 3]])
    hidden, _ = task.network(ids)
    torch.testing.assert_close(task(ids)["logits"], task.head(torch.cat([hidden[:, 3], hidden[:, 7]], -1)))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_other_poolings_and_networks(pooling: Any) -> None:
    t5 = T5(50, d_model=16, num_layers=1, num_heads=2, d_ff=32)
    for made in (network(), t5):
        task = RelationExtraction(made, LABELS, MARKERS, pooling).eval()
        ids = torch.tensor([[2, 50, 7, 51, 8, 52, 9, 53, 3]])
        with torch.no_grad():
            outputs = task(ids)
        assert outputs["logits"].shape == (1, 3)
        total, count = task.loss(outputs, {"labels": torch.tensor([1])})["loss"]
        assert float(total) == pytest.approx(-float(outputs["logits"].log_softmax(-1)[0, 1]), rel=1e-5)
        assert count == 1


def test_a_network_grows() -> None:
    bert = network(50)
    before = bert.token_embedding.weight.detach().clone()
    ids = torch.randint(5, 50, (2, 9))
    hidden = bert.eval()(ids)
    grow_vocabulary(bert, 54)
    assert torch.equal(bert(ids), hidden)
    rows = bert.token_embedding.weight
    assert torch.equal(rows[:50], before)
    assert len({tuple(row.tolist()) for row in rows[50:]}) == 4
    assert (rows[50:] - before.mean(0)).abs().max() < before.std()
    assert (bert.vocab_size, config_of(bert)["init_args"]["vocab_size"]) == (54, 54)
    assert bert(torch.tensor([[53, 2]])).shape == (1, 2, 32)
    grow_vocabulary(bert, 20)
    assert bert.vocab_size == 54


def test_what_cannot_be_is_refused() -> None:
    pair = EncoderDecoderPair(encoder=network(), decoder=GPT(50, d_model=16, num_layers=1, num_heads=2, memory_dim=32))
    with pytest.raises(ValueError, match="EncoderDecoderPair has 50 tokens, and cannot have 54: it is made of other"):
        grow_vocabulary(pair, 54)
    with pytest.raises(ValueError, match="expected the ids of four tokens"):
        RelationExtraction(network(), LABELS, [1, 2, 3, 3])
    with pytest.raises(ValueError, match="at least two classes"):
        RelationExtraction(network(), ["a"], MARKERS)
    with pytest.raises(ValueError, match="RelationExtraction needs an encoder"):
        RelationExtraction(plmlight.Word2Vec(54, 4), LABELS, MARKERS)


def test_the_measures_are_of_the_whole_set() -> None:
    task = RelationExtraction(network(), LABELS, MARKERS)
    found = {"labels": np.array([0, 1, 2, 2]), "predicted": np.array([0, 0, 2, 1])}
    measures = task.score(found)
    assert measures["accuracy"] == 50.0
    assert measures["semeval_f1"] == pytest.approx(100 * 2 * 1 / (2 + 3))
