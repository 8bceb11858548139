"""An n-gram model through the commands: counted, validated, evaluated, written as ARPA, and asked for text."""

import csv
import json
import os
import signal
from pathlib import Path

import pytest
import torch

import plmlight
from plmlight.cli import main
from plmlight.data import TextCorpus
from plmlight.nn.counting import count_ngrams, kneser_ney

TEXT = [f"the {a} {b} the {c}.\n" for a in ("cat", "old dog", "rat") for b in ("saw", "ate") for c in ("hat", "mat")]
FIT = "fit --model CausalLM --model.network NGram --model.network.order 3 --data TextCorpus --data.files text.txt"
MORE = (
    "--data.tokenizer_vocab_size 300 --data.document line --data.cache_folder cache --model.network.max_length 16 "
    "--data.validation_fraction 0.1 --trainer.accelerator cpu --trainer.enable_progress_bar false "
    "--trainer.enable_model_summary false --trainer.max_epochs 9 --trainer.log_every_n_steps 1"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a model was counted."""
    folder = tmp_path_factory.mktemp("ngram")
    (folder / "text.txt").write_text("".join(TEXT * 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*FIT.split(), *MORE.split()]) == 0
    return folder


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_fit_counts_each_token_once_and_stops() -> None:
    data = TextCorpus(
        "text.txt", tokenizer_vocab_size=300, document="line", validation_fraction=0.1, cache_folder="cache"
    )
    stream = data.stream("fit")
    assert stream is not None
    tokens = stream.gather(torch.zeros(1, dtype=torch.int64).numpy(), len(stream))[0]
    marked = [id_ for start, end in zip(stream.documents, [*stream.documents[1:], len(stream)], strict=True)
              for id_ in (data.vocab_size, *tokens[start:end])]  # fmt: skip
    levels = count_ngrams(torch.tensor(marked).numpy(), data.vocab_size, 3)
    task = plmlight.load("runs/run/last.ckpt")
    for k, found in enumerate(kneser_ney(levels), 1):
        ids, scores, _ = task.network.get_submodule("tables").ngrams(k)  # type: ignore[operator]
        torch.testing.assert_close(scores, torch.from_numpy(found.log_probabilities).float(), atol=1e-6, rtol=0)
        assert len(ids) == len(found.log_probabilities)
    assert torch.load("runs/run/last.ckpt", weights_only=True)["global_step"] == 1


def test_validate_says_what_fit_said(capsys: pytest.CaptureFixture[str]) -> None:
    (log,) = Path("runs/run/logs").rglob("metrics.csv")
    with log.open() as handle:
        said = [row["val_perplexity"] for row in csv.DictReader(handle) if row.get("val_perplexity")]
    words = "validate --ckpt_path runs/run/last.ckpt --data TextCorpus --data.files text.txt --data.document line"
    settings = "--data.validation_fraction 0.1 --data.cache_folder cache --trainer.accelerator cpu"
    capsys.readouterr()
    assert main([*words.split(), *settings.split(), "--trainer.enable_progress_bar", "false"]) == 0
    assert said[-1][:8] in capsys.readouterr().out


def test_a_run_does_not_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*FIT.split(), *MORE.split(), "--trainer.default_root_dir", "again", "--ckpt_path", "runs/run/last.ckpt"]
    assert main(words) == 2
    assert "NGram is counted in one pass, which cannot go on: leave out --ckpt_path" in capsys.readouterr().err
    assert not Path("again").exists()


def test_ctrl_c_ends_counting_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    batches = []

    def count(network: plmlight.NGram, batch: dict[str, torch.Tensor]) -> None:
        batches.append(batch)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(plmlight.NGram, "count", count)
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # where these tests run in the background it is ignored
    try:
        assert main([*FIT.split(), *MORE.split(), "--trainer.default_root_dir", "stopped"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(batches) == 1
    assert "plmlight fit: interrupted; there was nothing to keep" in capsys.readouterr().err
    assert not Path("stopped/last.ckpt").exists()


def test_data_in_another_order_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT.split(), *MORE.split(), "--data.order", "streams"]) == 2
    assert "data.order streams was given, but NGram is counted in order" in capsys.readouterr().err


def test_arpa_there_and_back_with_the_same_perplexity(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "runs/run/last.ckpt", "--output", "model.arpa"]) == 0
    told = capsys.readouterr().out
    assert "model.arpa: CausalLM with NGram" in told
    assert "model.arpa, model.tokenizer.json" in told
    assert Path("model.tokenizer.json").exists()
    assert main(["convert", "model.arpa", "--output", "back.ckpt"]) == 0
    values = []
    for model in ("runs/run/last.ckpt", "model.arpa", "back.ckpt"):
        assert main(f"evaluate {model} --data text.txt --document line --output {Path(model).stem}.json".split()) == 0
        values.append(json.loads(Path(f"{Path(model).stem}.json").read_text())["values"])
    assert values[0] == values[1] == values[2]
    assert 1 < values[0]["perplexity"]["value"] < 3


def test_infer_writes_text_of_the_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    words = "infer runs/run/last.ckpt --max_new_tokens 6 --temperature 0 --text"
    assert main([*words.split(), "the cat saw"]) == 0
    assert "the" in capsys.readouterr().out


def test_a_faulty_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.arpa").write_text("\\data\\\nngram 1=2\n\n\\1-grams:\n-0.1\ta\n\n\\end\\\n")
    assert main(["convert", "bad.arpa", "--output", "bad.ckpt"]) == 2
    assert "bad.arpa: line 7: 1 1-grams stand before this line, but the header says 2" in capsys.readouterr().err


def test_words_of_a_file_without_tokenizer_are_those_between_spaces() -> None:
    Path("words.arpa").write_text(
        "\\data\\\nngram 1=4\n\n\\1-grams:\n-0.6\t<unk>\n-99\t<s>\n-0.6\thello\n-0.3\t</s>\n\n\\end\\\n"
    )
    task = plmlight.load("words.arpa")
    assert task.tokenizer is not None
    assert task.tokenizer.encode("hello world").ids == [1, 0]
    assert main(["evaluate", "words.arpa", "--data", "text.txt", "--document", "line"]) == 0
