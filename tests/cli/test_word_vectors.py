"""`fit` with the recipes of word vectors."""

from pathlib import Path

import numpy as np
import pytest

import plmlight
from plmlight.cli.training import main

RECIPES = Path(__file__).parents[2] / "configs" / "pretrain"
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("recipe", ["word2vec-english", "glove-english", "word2vec-chinese"])
def test_a_recipe_trains_and_its_checkpoint_knows_the_words(recipe: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(" ".join(f"w{random.integers(30)}" for _ in range(60)) for _ in range(100)))
    status = main(
        "fit",
        [
            *("--config", str(RECIPES / f"{recipe}.yaml"), "--data.files", str(text)),
            *("--data.cache_folder", str(tmp_path / "cache"), "--data.batch_size", "1"),
            *("--trainer.max_epochs", "2", "--trainer.log_every_n_steps", "1", "--trainer.accelerator", "cpu"),
            *("--trainer.default_root_dir", str(tmp_path / "run"), "--trainer.enable_progress_bar", "false"),
        ],
    )
    assert status == 0
    task = plmlight.load(tmp_path / "run" / "last.ckpt")
    assert isinstance(task, plmlight.WordVectorModel)
    (metrics,) = (tmp_path / "run").rglob("metrics.csv")
    header = metrics.read_text().splitlines()[0].split(",")
    assert {"train_loss", "tokens_per_second"} <= set(header)
    assert "mfu" not in header, "tables are looked up"
    assert {f"w{number}" for number in range(30)} <= set(task.space().words)
