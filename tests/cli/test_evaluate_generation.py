"""``evaluate`` of models that write."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
import torch

from plmlight import cli, evaluation
from plmlight.loading import load, write_checkpoint
from plmlight.networks import GPT, Transformer
from plmlight.tasks import CausalLM, Seq2Seq
from plmlight.text import TextForm, train_tokenizer

PAIRS = [(f"ein Hund {i} rennt", f"a dog {i} runs") for i in range(8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generation")
    torch.manual_seed(0)
    tokenizer = train_tokenizer([text for pair in PAIRS for text in pair], "unigram", 60)
    size = tokenizer.get_vocab_size()
    task = Seq2Seq(network=Transformer(size, d_model=16, num_layers=1, num_heads=2, d_ff=32, max_length=40))
    task.tokenizer = tokenizer
    write_checkpoint(task, folder / "ours.ckpt")
    gpt = CausalLM(GPT(vocab_size=size, d_model=16, num_layers=1, num_heads=2, max_length=32))
    gpt.tokenizer = tokenizer
    write_checkpoint(gpt, folder / "gpt.ckpt")
    (folder / "test.de").write_text("".join(f"{source}\n" for source, _ in PAIRS))
    (folder / "test.en").write_text("".join(f"{target}\n" for _, target in PAIRS))
    (folder / "short.en").write_text("a dog\n")
    (folder / "long.tsv").write_text("ein Hund rennt " * 30 + "\ta dog\n")
    (folder / "test.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    (folder / "test.jsonl").write_text("".join(json.dumps({"de": a, "en": b}) + "\n" for a, b in PAIRS))
    return folder


def test_scores_texts_and_numbers_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(folder / "test.de"), str(folder / "test.en")]
    words = ["--num_beams", "2", "--max_new_tokens", "6", "--samples", "20", "--metrics", "bleu", "chrf", "distinct"]
    output, texts = folder / "result.json", folder / "texts.jsonl"
    written = ["--output", str(output), "--texts", str(texts)]
    assert cli.main(["evaluate", str(folder / "ours.ckpt"), "--data", *files, *words, *written]) == 0
    shown = capsys.readouterr().out
    result = json.loads(output.read_text())
    lines = [json.loads(line) for line in texts.read_text().splitlines()]
    assert [(line["source"], line["reference"]) for line in lines] == PAIRS
    wanted = sacrebleu.corpus_chrf([line["hypothesis"] for line in lines], [[target for _, target in PAIRS]]).score
    assert result["values"]["chrf"]["value"] == wanted
    assert list(result["values"]) == ["bleu", "chrf", "distinct_1", "distinct_2", "loss", "perplexity"]
    assert result["values"]["distinct_1"]["low"] is None
    assert "texts" not in result
    assert result["settings"]["generation"]["decoding"] == {"num_beams": 2, "max_new_tokens": 6}
    assert all(name in shown for name in ("bleu", "chrf", "perplexity", "8 pairs"))


@pytest.mark.parametrize(
    "data", [["test.tsv"], ["test.jsonl", "--source_field", "de", "--target_field", "en"], ["test.en", "test.de"]]
)
def test_files_of_all_kinds_are_read(folder: Path, data: list[str]) -> None:
    paths = [str(folder / word) if word.startswith("test.") else word for word in data]
    reverse = ["--reverse"] if data[0] == "test.en" else []
    texts = folder / "read.jsonl"
    words = ["--max_new_tokens", "2", "--samples", "0", "--texts", str(texts), *reverse]
    assert cli.main(["evaluate", str(folder / "ours.ckpt"), "--data", *paths, *words]) == 0
    lines = [json.loads(line) for line in texts.read_text().splitlines()]
    assert [(line["source"], line["reference"]) for line in lines] == PAIRS


def test_what_only_the_model_has_is_shown_without_a_baseline(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = evaluation.open_model

    def opened(name: str, *running: Any) -> evaluation.Opened:
        found = real(name, *running)
        assert isinstance(found.model, evaluation.Writer)
        # as a bundle is: it writes, and there is no task of torch that tells the loss of the references
        return found if "ours" in name else dataclasses.replace(found, model=evaluation.Writer(found.model.generator))

    monkeypatch.setattr(evaluation, "open_model", opened)
    (folder / "bundle.ckpt").write_bytes((folder / "ours.ckpt").read_bytes())
    words = ["--data", str(folder / "test.tsv"), "--max_new_tokens", "2", "--samples", "5"]
    names = [str(folder / "ours.ckpt"), "--baseline", str(folder / "bundle.ckpt")]
    assert cli.main(["evaluate", *names, *words]) == 0
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in capsys.readouterr().out.splitlines()]
    assert ["chrf", "model"] in rows
    assert ["loss", "model"] in rows
    assert sum(row[1:] == ["baseline"] for row in rows) == 2  # of bleu and chrf


DIALOGUES = ["hi __eou__ hello __eou__ how are you ? __eou__", "bye __eou__ see you __eou__"]


@pytest.mark.parametrize("name", ["turns.txt", "turns.jsonl", "pairs.tsv"])
def test_a_model_of_dialogues_answers_each_turn(folder: Path, name: str) -> None:
    task = load(str(folder / "ours.ckpt"))
    assert isinstance(task, Seq2Seq)
    task.text_form = TextForm(roles=("<a>", "<b>"), history=2)
    write_checkpoint(task, folder / "talks.ckpt")
    (folder / "turns.txt").write_text("\n".join(DIALOGUES) + "\n")
    turns = [[{"say": turn.strip()} for turn in line.split("__eou__")[:-1]] for line in DIALOGUES]
    (folder / "turns.jsonl").write_text("".join(json.dumps({"dialog": each}) + "\n" for each in turns))
    pairs = [("<a> hi", "hello"), ("<b> hi <a> hello", "how are you ?"), ("<a> bye", "see you")]
    (folder / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    words = ["--data", str(folder / name), "--max_new_tokens", "2", "--metrics", "distinct", "--samples", "0"]
    words += ["--source_field", "dialog", "--target_field", "say"] if name == "turns.jsonl" else []
    texts = folder / "talk.jsonl"
    assert cli.main(["evaluate", str(folder / "talks.ckpt"), *words, "--texts", str(texts)]) == 0
    lines = [json.loads(line) for line in texts.read_text().splitlines()]
    assert [(line["source"], line["reference"]) for line in lines] == pairs


def test_cut_sources_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(folder / "long.tsv"), "--max_new_tokens", "2", "--truncate_source"]
    assert cli.main(["evaluate", str(folder / "ours.ckpt"), *words]) == 0
    assert "1 of 1 sources were longer than the 40 tokens that the model reads: cut" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ours.ckpt", "--data", "test.de", "short.en"], "has 8 lines, but"),
        (["ours.ckpt", "--data", "test.de", "short.en", "--limit", "1"], "has 8 lines, but"),
        (["ours.ckpt", "--data", "long.tsv"], "source 0 has"),
        (["ours.ckpt", "--data", "test.tsv", "--metrics", "blue"], "no text metric 'blue'; did you mean 'bleu'"),
        (["ours.ckpt", "--data", "test.tsv", "--num_beams", "2000"], "num_beams 2000 is beyond the vocabulary"),
        (["ours.ckpt", "--data", "test.tsv", "--num_beams", "3", "--num_beam_groups", "2"], "is not a multiple of"),
        (["ours.ckpt", "--data", "test.tsv", "--task_prefix", "en"], "prefix 'en' is unknown"),
        (["ours.ckpt", "--data", "test.tsv", "--metric", "perplexity"], "is a Seq2Seq, which has no perplexity"),
        (["ours.ckpt", "--data", "test.tsv", "--provider", "tensorrt"], "it can not run on the provider 'tensorrt'"),
        (["gpt.ckpt", "--data", "test.de", "--num_beams", "2"], "which writes no texts: --num_beams is for"),
        (["gpt.ckpt", "--data", "test.de", "--metrics", "bleu"], "which writes no texts: --metrics is for"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str(folder / word) if (folder / word).is_file() else word for word in words]
    output = folder / "bad.jsonl"
    assert cli.main(["evaluate", *named, "--texts", str(output)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not output.exists()
