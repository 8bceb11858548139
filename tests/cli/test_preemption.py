"""SIGTERM, as schedulers send it: a run ends between two steps, and goes on as if it never had."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from plmlight import cli

STOPPER = """
import os, signal
import lightning.pytorch as pl

class Stopper(pl.Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, BATCH):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
"""


def validations(folder: str) -> list[dict[str, str]]:
    """What was measured in validations, of all parts of a run."""
    logs = [path.read_text().splitlines() for path in sorted(Path(folder).glob("logs/*/metrics.csv"))]
    measured = [row for lines in logs for row in csv.DictReader(lines) if row["val_loss"]]
    return [{name: row[name] for name in row if name == "step" or name.startswith("val_")} for row in measured]


@pytest.mark.parametrize(
    ("batch", "steps"),
    [
        pytest.param(2, 5 + 2, id="within a step: it is finished"),
        pytest.param(9, 5 + 5 + 1, id="at the end of an epoch: validation and one more step are done"),
    ],
)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    batch: int, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLMLIGHT_CACHE", str(tmp_path / "cache"))
    Path("stopper.py").write_text(STOPPER.replace("BATCH", str(batch)))
    rows = [{"text": f"the number {n} of {n % 7} and {n % 5}", "label": "ab"[n % 2]} for n in range(40)]
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sizes = {"d_model": 8, "num_layers": 1, "num_heads": 2, "max_length": 16}
    network = [f"--model.network.{name}={value}" for name, value in sizes.items()]
    data = ["--data", "LabelledText", "--data.files", "train.jsonl", "--data.validation_files", "train.jsonl"]
    data += ["--data.tokenizer_vocab_size=90"]
    train = ["--trainer.max_epochs=3", "--trainer.accumulate_grad_batches=2", "--trainer.accelerator=cpu"]
    train += ["--trainer.log_every_n_steps=5"]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    words = ["fit", "--model", "TextClassification", "--model.network", "BERT", *network, *data, "--data.batch_size=4"]
    words += [*train, *quiet]
    assert cli.main([*words, "--trainer.default_root_dir=whole"]) == 0

    stopped = [*words, "--trainer.default_root_dir=parts"]
    done = subprocess.run(
        [sys.executable, "-m", "plmlight", *stopped, "--trainer.callbacks=stopper.Stopper"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 143, done.stderr
    told = done.stderr.splitlines()[-2:]
    assert told[0] == "plmlight fit: stopped by SIGTERM; go on with:"
    assert told[1].endswith("--ckpt_path parts/last.ckpt")
    assert "Traceback" not in done.stderr
    kept = torch.load("parts/last.ckpt", weights_only=True)
    assert kept["global_step"] == steps

    assert cli.main([*stopped, "--ckpt_path", "parts/last.ckpt"]) == 0
    whole, parts = (torch.load(f"{folder}/last.ckpt", weights_only=True) for folder in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] == 15
    assert all(torch.equal(tensor, parts["state_dict"][name]) for name, tensor in whole["state_dict"].items())
    mine, its = (each["optimizer_states"][0]["state"] for each in (whole, parts))
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[key][name], its[key][name]) for key in mine for name in ("exp_avg", "exp_avg_sq"))
    assert validations("parts") == validations("whole")
    assert len(validations("whole")) == 3
