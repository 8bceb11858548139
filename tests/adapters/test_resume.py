"""A run with an adapter that stops and goes on ends as one that did not stop, bit by bit."""

import json
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

from plmlight import BERT, LabelledText, LoRA, PrefixTuning, PromptTuning, TextClassification
from plmlight.adapters import Adapter, adapter_weights
from plmlight.callbacks import AtomicCheckpointIO, Checkpoints
from plmlight.optim import AdamW, Constant
from plmlight.tasks.adapter_folder import task_with_adapter, write_adapter
from plmlight.text import save_tokenizer, train_tokenizer

TEXTS = [f"the {animal} number {number}" for number in range(8) for animal in ("cat", "dog", "cow")]

pytestmark = pytest.mark.filterwarnings(
    "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning", "ignore:You have overridden"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a network, a tokenizer and examples."""
    torch.manual_seed(7)
    tokenizer = train_tokenizer(TEXTS, "wordpiece", 60)
    BERT(tokenizer.get_vocab_size(), d_model=12, num_layers=2, num_heads=3, max_length=24).save_pretrained(
        str(tmp_path / "base")
    )
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    rows = [{"text": text, "label": text.split()[1]} for text in TEXTS]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(root: Path, name: str, adapter: Adapter, steps: int, resume: Path | None = None) -> TextClassification:
    torch.manual_seed(1)
    data = LabelledText(
        str(root / "train.jsonl"), tokenizer=str(root / "tokenizer"), batch_size=4, cache_folder=str(root / "cache")
    )
    network = BERT.from_pretrained(str(root / "base"), dropout=0.1)
    optimizer = AdamW(lr=1e-2)
    task = TextClassification(network, data.labels, optimizer=optimizer, schedule=Constant(), adapter=adapter)
    task.tokenizer = data.tokenizer
    trainer = pl.Trainer(
        default_root_dir=root / name,
        accelerator="cpu",
        max_steps=steps,
        callbacks=[Checkpoints(every_n_steps=1)],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
    return task


@pytest.mark.parametrize(
    "adapter",
    [LoRA(rank=2, dropout=0.2, targets=["*"]), PrefixTuning(3), PromptTuning(3), PromptTuning(3, text="the cat")],
    ids=["lora", "prefix", "prompt", "prompt-of-text"],
)
def test_it_goes_on_bit_for_bit(adapter: Adapter, root: Path) -> None:
    straight = run(root, "a", adapter, 9)
    first = run(root, "b", adapter, 4)  # in the middle of an epoch of six
    begun = {name: tensor.clone() for name, tensor in adapter_weights(first.network).items()}
    resumed = run(root, "b", adapter, 9, root / "b" / "last.ckpt")
    for (name, one), (_, other) in zip(straight.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(one, other), name
    learned = adapter_weights(resumed.network)
    assert any(not torch.equal(tensor, begun[name]) for name, tensor in learned.items()), "it learned after that"
    folders = []
    for name, task in (("a", straight), ("b", resumed)):
        write_adapter(task, root / name / "adapter", base=str(root / "base"))
        folders.append({path.name: path.read_bytes() for path in (root / name / "adapter").iterdir()})
    assert folders[0] == folders[1]
    assert "heads.safetensors" in folders[0]
    ids = torch.tensor([resumed.tokenizer.encode(TEXTS[0]).ids])  # type: ignore[union-attr]
    assert torch.equal(task_with_adapter(root / "b" / "adapter")(ids)["logits"], straight.eval()(ids)["logits"])
