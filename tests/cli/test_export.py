from pathlib import Path

import numpy as np
import pytest
import torch

from plmlight.cli import main
from plmlight.export import bundle as bundle_module
from plmlight.loading import write_checkpoint
from plmlight.networks import GPT
from plmlight.tasks import CausalLM
from plmlight.text import save_tokenizer, train_tokenizer

RECIPE = "name: small\ngraphs: [portable]\nlimits: {logit_error: 1.0e-4}\n"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    task = CausalLM(GPT(vocab_size=270, d_model=16, num_layers=1, num_heads=2, max_length=40))
    task.tokenizer = train_tokenizer(["one two three"] * 3, "byte-bpe", 262)
    write_checkpoint(task, tmp_path / "model.ckpt")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "model.ckpt"


def export(folder: Path, checkpoint: Path, *more: str) -> int:
    words = ["--checkpoint", str(checkpoint), "--recipe", str(folder / "recipe.yaml"), "--output", str(folder / "out")]
    return main(["export", *words, *more])


def test_prints_progress_the_verdict_and_the_next_command(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path, checkpoint) == 0
    out, err = capsys.readouterr()
    assert out.startswith("PASSED")
    assert f"python -m plmlight infer {tmp_path / 'out'}" in out.splitlines()[-1]
    assert "graph portable" in err
    assert "check portable logit error: ok" in err


def test_failed_verdict_is_status_1_and_the_runtime_refuses(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from plmlight.runtime import load

    real = bundle_module.write_graphs

    def tampered(export: object, recipe: object, folder: Path, progress: object) -> object:
        graphs = real(export, recipe, folder, progress)  # type: ignore[arg-type]
        weights = np.fromfile(folder / "model.onnx.data", np.float32)
        weights += 0.01
        weights.tofile(folder / "model.onnx.data")
        return graphs

    monkeypatch.setattr(bundle_module, "write_graphs", tampered)
    assert export(tmp_path, checkpoint) == 1
    out, err = capsys.readouterr()
    assert out.startswith("FAILED")
    assert "refuses" in err
    assert (tmp_path / "out" / "verdict.html").exists()
    with pytest.raises(ValueError, match="verdict"):
        load(tmp_path / "out", provider="cpu")


def test_tokenizer_can_be_named(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = CausalLM(GPT(vocab_size=270, d_model=16, num_layers=1, num_heads=2, max_length=40))
    write_checkpoint(task, tmp_path / "bare.ckpt")
    assert export(tmp_path, tmp_path / "bare.ckpt") == 2
    assert "--tokenizer" in capsys.readouterr().err
    tokenizer = train_tokenizer(["one two three"] * 3, "byte-bpe", 262)
    (tmp_path / "tokenizer").mkdir()
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    assert export(tmp_path, tmp_path / "bare.ckpt", "--tokenizer", str(tmp_path / "tokenizer")) == 0


def test_hugging_face_folder_of_an_encoder_becomes_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from plmlight import runtime
    from tests.runtime.encoders import small_embedder, wordpiece

    task = small_embedder(pooling="cls", normalise=True)
    task.save_pretrained(str(tmp_path / "folder"))
    save_tokenizer(wordpiece(), tmp_path / "folder")
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("[portable]", "[in_place, portable]"))
    assert export(tmp_path, tmp_path / "folder") == 0, capsys.readouterr()
    ids = torch.tensor([wordpiece().encode("the garden").ids])
    with torch.inference_mode():
        expected = task(ids)["sentence_embedding"][0].numpy()
    assert np.abs(runtime.load(tmp_path / "out").embed(["the garden"])[0] - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "nowhere.yaml"], "nowhere.yaml: No such file"),
        (["--tokenizer", "nowhere"], "nowhere"),
        (["--checkpoint", "nowhere.ckpt"], "nowhere.ckpt"),
        (["--recipes", "x"], "unknown option --recipes"),
    ],
)
def test_mistake_is_one_line_and_status_2(
    words: list[str], message: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = export(tmp_path, checkpoint, *words)
    except SystemExit as stop:
        status = int(str(stop.code))
    assert status == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("plmlight export: ")
    assert message in line
    assert not (tmp_path / "out").exists()
