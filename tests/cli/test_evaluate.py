import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from plmlight import cli
from plmlight.decoding import TextEmbedder
from plmlight.loading import write_checkpoint
from plmlight.networks import BERT, GPT
from plmlight.tasks import CausalLM, MaskedLM, SentenceEmbedding, Task, TorchEmbeddingModel
from plmlight.text import file_hash, train_tokenizer
from tests.runtime.bundles import byte_tokenizer, make_bundle
from tests.runtime.encoders import small_embedder, small_encoder

LINES = [f"line {i}: the quick brown fox and {i * i}" for i in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of each task, and data for them."""
    folder = tmp_path_factory.mktemp("evaluate")
    torch.manual_seed(0)
    (folder / "text.txt").write_text("\n".join(LINES) + "\n")
    (folder / "empty.txt").write_text("")
    rows = (f"{LINES[i]},{LINES[-i - 1]},{i % 7}" for i in range(20))
    (folder / "pairs.csv").write_text("sentence1,sentence2,score\n" + "\n".join(rows) + "\n")
    words = ["Paris", "is", "the", "capital", "of", "France", "she", "opened", "door", "and", "went", "into", "garden"]
    rows = (f"{words[i]} {words[i + 1]},{words[-i - 1]} the {words[i]},{i % 5}" for i in range(12))
    (folder / "words.csv").write_text("\n".join(rows) + "\n")
    for name in ("gpt", "other"):
        task: Task = CausalLM(GPT(vocab_size=257, d_model=16, num_layers=1, num_heads=2, max_length=32))
        task.tokenizer = byte_tokenizer()
        write_checkpoint(task, folder / f"{name}.ckpt")
    pieces = train_tokenizer(LINES, "wordpiece", 60)
    cut = CausalLM(GPT(vocab_size=60, d_model=16, num_layers=1, num_heads=2, max_length=32))
    cut.tokenizer = pieces
    write_checkpoint(cut, folder / "words.ckpt")
    network = {"vocab_size": 60, "d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 32, "max_length": 32}
    for name, encoder in (
        ("bert", MaskedLM(BERT(**network))),  # type: ignore[arg-type]
        ("embedding", SentenceEmbedding(BERT(**network))),  # type: ignore[arg-type]
    ):
        encoder.tokenizer = pieces
        write_checkpoint(encoder, folder / f"{name}.ckpt")
    bare = CausalLM(GPT(vocab_size=257, d_model=16, num_layers=1, num_heads=2, max_length=32))
    write_checkpoint(bare, folder / "bare.ckpt")
    make_bundle(folder / "bundle")
    return folder


def run(folder: Path, model: str, *words: str) -> dict[str, Any]:
    output = folder / "result.json"
    status = cli.main(["evaluate", str(folder / model), *words, "--output", str(output)])
    assert status == 0
    result: dict[str, Any] = json.loads(output.read_text())
    output.unlink()
    return result


def test_a_language_model_has_a_perplexity(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder / "text.txt"
    result = run(folder, "gpt.ckpt", "--data", str(data), "--document", "line", "--samples", "200")
    values = result["values"]
    assert list(values) == ["perplexity", "bits-per-byte"]
    assert all(each["low"] < each["value"] < each["high"] for each in values.values())
    size = sum(len(line) for line in LINES)
    assert result["counts"] == {"tokens": size, "bytes": size, "documents": 40}
    assert values["bits-per-byte"]["value"] == pytest.approx(math.log2(values["perplexity"]["value"]))
    assert result["intervals"]["units"] == "documents"
    assert result["data"] == [{"name": str(data), "sha256": file_hash(data)}]
    assert (result["settings"]["context"], result["settings"]["stride"], result["settings"]["prefix"]) == (32, 16, True)
    assert result["versions"].keys() >= {"plmlight", "torch", "scipy", "onnxruntime"}
    printed = capsys.readouterr().out
    assert f"{values['perplexity']['value']:,.2f}" in printed
    assert "95 % interval" in printed


def test_the_asked_metric_comes_first(folder: Path) -> None:
    words = ["--data", str(folder / "text.txt"), "--metric", "bits-per-byte", "--samples", "0", "--prefix", "false"]
    result = run(folder, "gpt.ckpt", *words)
    assert list(result["values"]) == ["bits-per-byte", "perplexity"]
    assert result["values"]["perplexity"]["low"] is None
    assert result["counts"]["tokens"] == len((folder / "text.txt").read_text()) - 1


def test_two_models_are_compared_on_the_same_units(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(folder / "text.txt"), "--samples", "100", "--baseline", str(folder / "other.ckpt")]
    result = run(folder, "gpt.ckpt", *words)
    found = result["comparison"]["perplexity"]["difference"]
    ours, theirs = (each["values"]["perplexity"]["value"] for each in (result, result["baseline"]))
    assert found["value"] == pytest.approx(ours - theirs)
    assert found["low"] <= found["value"] <= found["high"]
    printed = capsys.readouterr().out
    assert "difference" in printed
    assert f"baseline: {folder / 'other.ckpt'}\n" in printed
    same = run(folder, "gpt.ckpt", *words[:-1], str(folder / "gpt.ckpt"))
    assert same["comparison"]["perplexity"]["p_value"] == 1.0


def test_models_with_other_tokens_are_compared_by_the_byte(folder: Path) -> None:
    words = ["--data", str(folder / "text.txt"), "--samples", "50", "--baseline", str(folder / "words.ckpt")]
    result = run(folder, "gpt.ckpt", *words, "--metric", "bits-per-byte")
    assert list(result["comparison"]) == ["bits-per-byte"]


def test_a_bundle_has_a_perplexity(folder: Path) -> None:
    words = ["--data", str(folder / "text.txt"), "--document", "line", "--limit", "3", "--samples", "50"]
    result = run(folder, "bundle", *words, "--threads", "1")
    assert result["counts"]["documents"] == 3
    portable = run(folder, "bundle", *words, "--threads", "1", "--graph", "portable")
    assert portable["values"]["perplexity"]["value"] == pytest.approx(result["values"]["perplexity"]["value"], rel=1e-4)


def test_a_masked_language_model_has_a_pseudo_perplexity(folder: Path) -> None:
    result = run(folder, "bert.ckpt", "--data", str(folder / "text.txt"), "--limit", "5", "--samples", "50")
    assert result["metric"] == "pseudo-perplexity"
    assert 1 < result["values"]["pseudo-perplexity"]["value"] < 600
    assert (result["counts"]["documents"], result["settings"]["document"]) == (5, "line")


def test_an_embedding_has_a_similarity(folder: Path) -> None:
    result = run(folder, "embedding.ckpt", "--data", str(folder / "pairs.csv"), "--samples", "50")
    task = SentenceEmbedding.load_from_checkpoint(folder / "embedding.ckpt").eval()
    assert task.tokenizer is not None
    vectors = TextEmbedder(TorchEmbeddingModel(task), task.tokenizer).embed(LINES).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = [float(vectors[i] @ vectors[-i - 1]) for i in range(20)]
    expected = spearmanr(cosines, [i % 7 for i in range(20)]).statistic
    assert result["values"]["spearman"]["value"] == pytest.approx(expected, abs=1e-3)
    assert result["counts"] == {"pairs": 20, "texts": 40}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["filling", "embedding"])
def test_an_encoder_s_bundle_measures_as_its_model(
    folder: Path, filling_bundle: Path, embedding_bundle: Path, task: str
) -> None:
    model: Task
    if task == "filling":
        bundle, model, data = filling_bundle, small_encoder(pairs=True), "text.txt"
    else:
        bundle, model, data = embedding_bundle, small_embedder(normalise=True), "words.csv"
    write_checkpoint(model, folder / "model.ckpt")
    words = ["--data", str(folder / data), "--baseline", str(folder / "model.ckpt"), "--limit", "12", "--samples", "9"]
    result = run(folder, str(bundle), *words, "--threads", "1")
    for name, found in result["values"].items():
        assert found["value"] == pytest.approx(result["baseline"]["values"][name]["value"], rel=1e-4)
    assert result["counts"] == result["baseline"]["counts"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gpt.ckpt", "--data", "text.txt", "--metric", "perplexiti"], "did you mean 'perplexity'?"),
        (
            ["gpt.ckpt", "--data", "pairs.csv", "--metric", "similarity"],
            "gpt.ckpt: is a CausalLM, which has no similarity, but perplexity and bits-per-byte",
        ),
        (["embedding.ckpt", "--data", "pairs.csv", "--score", "scor"], "no column 'scor'; did you mean 'score'?"),
        (["embedding.ckpt", "--data", "text.txt"], "text.txt: pairs are read from .csv, .tsv, .jsonl files"),
        (["embedding.ckpt", "--data", "pairs.csv", "pairs.csv"], "on one file of pairs, not on 2"),
        (["gpt.ckpt", "--data", "pairs.csv", "--text_field", "sentence"], "did you mean 'sentence2'?"),
        (["gpt.ckpt", "--data", "nowhere.txt"], "nowhere.txt: no such file or folder"),
        (["gpt.ckpt", "--data", "empty.txt"], "empty.txt: the file has no text"),
        (["none.ckpt", "--data", "text.txt"], "none.ckpt"),
        (["bare.ckpt", "--data", "text.txt"], "bare.ckpt: has no tokenizer, so it can not read text"),
        (["gpt.ckpt"], "missing: "),
        (["gpt.ckpt", "--data", "text.txt", "--strides", "4"], "unknown option --strides; did you mean '--stride'?"),
        (["gpt.ckpt", "--data", "text.txt", "--stride", "33"], "stride must lie between 1 and the context of 32"),
        (["gpt.ckpt", "--data", "text.txt", "--limit", "0"], "limit must be at least 1, not 0"),
        (["gpt.ckpt", "--data", "text.txt", "--confidence", "95"], "confidence must lie between 0 and 1, not 95.0"),
        (["gpt.ckpt", "--data", "text.txt", "--graph", "portable"], "--graph chooses among a bundle's graphs"),
        (["gpt.ckpt", "--data", "text.txt", "--provider", "tensorrt"], "so it can not run on the provider 'tensorrt'"),
        (["gpt.ckpt", "--data", "text.txt", "--threads", "0"], "threads must be at least 1, not 0"),
        (["gpt.ckpt", "--data", "text.txt", "--baseline", "bert.ckpt"], "can not be compared with a CausalLM"),
        (
            ["gpt.ckpt", "--data", "text.txt", "--baseline", "words.ckpt"],
            "words.ckpt: has another tokenizer than gpt.ckpt, so a perplexity a token says nothing",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(
    folder: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    try:
        status = cli.main(["evaluate", *words, "--output", "out.json"])
    except SystemExit as error:  # argparse's own mistakes
        status = int(error.code or 0)
    printed = capsys.readouterr().err
    assert (status, printed.count("\n")) == (2, 1)
    assert printed.startswith("plmlight evaluate: ")
    assert message in printed
    assert not (folder / "out.json").exists()
