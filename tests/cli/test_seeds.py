"""``fit --seeds``: runs that differ in their seed alone, and what is said of them."""

import json
from pathlib import Path

import pytest
from scipy import stats

from plmlight import cli
from plmlight.cli.seeds import report, split_seeds, summary


def test_seeds_are_taken_out_of_the_words() -> None:
    assert split_seeds(["--model", "X"]) == ([], ["--model", "X"])
    assert split_seeds(["--seeds", "0,1", "--model", "X"]) == ([0, 1], ["--model", "X"])
    assert split_seeds(["--model", "X", "--seeds=[3, 5]"]) == ([3, 5], ["--model", "X"])


@pytest.mark.parametrize("given", ["", "0,x", "1,1", "0 1", "-1"])
def test_what_is_no_list_of_seeds_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="expected different whole numbers"):
        split_seeds(["--seeds", given])


@pytest.mark.parametrize("other", ["--ckpt_path=x", "--seed_everything"])
def test_what_makes_no_sense_with_several_runs_is_refused(other: str) -> None:
    with pytest.raises(ValueError, match=f"{other.partition('=')[0]} does not go with it"):
        split_seeds(["--seeds", "0,1", other])


def test_an_interval_is_students() -> None:
    found = summary({0: {"val_loss": 1.0, "val_x": 1.0}, 1: {"val_loss": 2.0}, 2: {"val_loss": 4.0}})
    assert list(found) == ["val_loss"]
    each = found["val_loss"]
    low, high = stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem([1.0, 2.0, 4.0]))
    assert (each["values"], each["low"], each["high"]) == ([1.0, 2.0, 4.0], pytest.approx(low), pytest.approx(high))
    assert summary({7: {"val_loss": 1.0}})["val_loss"]["low"] is None


def test_seeds_without_validation_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(tmp_path, {0: {}, 1: {}})
    assert "nothing was validated" in capsys.readouterr().out
    assert json.loads((tmp_path / "seeds.json").read_text()) == {"seeds": [0, 1], "metrics": {}}


def test_each_seed_has_its_folder_and_its_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = "".join(f"the {word} is number {n},{word}\n" for n in range(12) for word in ("cat", "dog"))
    (tmp_path / "train.csv").write_text("text,label\n" + lines)
    words = ["--model", "TextClassification", "--model.network", "BagOfVectors", "--model.network.d_model", "8"]
    words += ["--data", "LabelledText", "--data.files", str(tmp_path / "train.csv"), "--data.batch_size", "4"]
    words += ["--data.tokenizer_vocab_size", "60", "--data.cache_folder", str(tmp_path / "cache")]
    words += [
        "--trainer.max_epochs",
        "1",
        "--trainer.log_every_n_steps",
        "1",
        "--trainer.default_root_dir",
        str(tmp_path / "runs"),
    ]
    words += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert cli.main(["fit", *words, "--seeds", "3,4"]) == 0
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"seed-3", "seed-4", "seeds.json"}
    found = json.loads((tmp_path / "runs" / "seeds.json").read_text())
    assert found["seeds"] == [3, 4]
    values = found["metrics"]["val_loss"]["values"]
    assert values[0] != values[1]
    assert found["metrics"]["val_loss"]["mean"] == pytest.approx(sum(values) / 2)
    assert "95 % interval" in capsys.readouterr().out
    assert (tmp_path / "runs" / "seed-3" / "last.ckpt").exists()
