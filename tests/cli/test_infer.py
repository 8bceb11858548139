import dataclasses
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from plmlight import cli, runtime
from plmlight.cli.arguments import parse, parser
from plmlight.cli.decoding_options import add_decoding_options
from plmlight.decoding import DecodingOptions
from tests.runtime.bundles import EOS, VOCAB, byte_tokenizer, make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("infer") / "bundle")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from plmlight.loading import write_checkpoint
    from plmlight.networks import GPT
    from plmlight.tasks import CausalLM

    torch.manual_seed(0)
    task = CausalLM(network=GPT(vocab_size=VOCAB, d_model=16, num_layers=1, num_heads=2, max_length=64))
    task.tokenizer = byte_tokenizer()
    path = tmp_path_factory.mktemp("infer") / "tiny.ckpt"
    write_checkpoint(task, path)
    return path


class _Pipe(io.TextIOWrapper):
    """A standard input that texts are piped into."""

    def __init__(self, text: str) -> None:
        super().__init__(io.BytesIO(text.encode()))


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_one_text_is_continued_as_text(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = runtime.load(bundle).generate(["def "], max_new_tokens=5)[0][0].text
    assert cli.main(["infer", str(bundle), "--text", "def ", "--max_new_tokens", "5"]) == 0
    assert capsys.readouterr().out == wanted + "\n"
    cli.main(["infer", str(bundle), "--text", "def ", "--max_new_tokens", "5", "--echo"])
    assert capsys.readouterr().out == "def " + wanted + "\n"


def test_one_text_streams(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one write reaches the standard output before the end."""
    writes: list[str] = []

    class Spy(io.StringIO):
        def flush(self) -> None:
            writes.append(self.getvalue())

    monkeypatch.setattr(sys, "stdout", Spy())
    assert cli.main(["infer", str(bundle), "--text", "x", "--eos_token_id", "300"]) == 0
    assert len(set(writes)) > 2


def test_several_texts_give_json_lines_in_order(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["infer", str(bundle), "--text", "a", "--text", "longer", "--text", "b", "--batch_size", "2"]
    assert cli.main(arguments) == 0
    found = records(capsys.readouterr().out)
    answers = runtime.load(bundle).generate(["a", "longer", "b"])
    assert [record["prompt"] for record in found] == ["a", "longer", "b"]
    assert [record["text"] for record in found] == [answer.text for (answer,) in answers]
    assert [record["token_ids"] for record in found] == [answer.token_ids for (answer,) in answers]


def test_the_best_of_a_beam_come_with_their_scores(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--num_beams", "3", "--num_return_sequences", "2", "--max_new_tokens", "4"]
    assert cli.main(["infer", str(bundle), "--text", "a", *arguments]) == 0
    first, second = records(capsys.readouterr().out)
    assert (first["answer"], second["answer"]) == (0, 1)
    assert first["score"] >= second["score"]
    assert cli.main(["infer", str(bundle), "--text", "a", "--num_beams", "3", "--max_new_tokens", "4"]) == 0
    assert capsys.readouterr().out == first["text"] + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.txt", "one\ntwo\n"),
        ("in.jsonl", '{"text": "one"}\n\n{"prompt": "two", "id": 7}\n'),
        ("in.txt", "\ufeffone\r\ntwo\r\n"),
        ("in.jsonl", '\ufeff{"text": "one"}\r\n{"text": "two", "note": "a\u2028b"}'),
    ],
)
def test_texts_come_from_a_file(bundle: Path, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    output = tmp_path / "out" / "answers.jsonl"
    assert cli.main(["infer", str(bundle), "--input", str(tmp_path / name), "--output", str(output)]) == 0
    assert [record["prompt"] for record in records(output.read_text())] == ["one", "two"]


def test_texts_come_from_the_standard_input(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", _Pipe("one\n中文\n"))
    assert cli.main(["infer", str(bundle)]) == 0
    assert [record["prompt"] for record in records(capsys.readouterr().out)] == ["one", "中文"]


def test_a_checkpoint_answers_as_its_task_does(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infer", str(checkpoint), "--text", "ab", "--text", "c", "--max_new_tokens", "6"]) == 0
    found = records(capsys.readouterr().out)
    import plmlight

    task = plmlight.load(checkpoint)
    for record in found:
        ids = list(record["prompt"].encode())
        ids = byte_tokenizer().encode(record["prompt"]).ids
        for token in record["token_ids"]:
            with torch.inference_mode():
                logits = task(input_ids=torch.tensor([ids]))["logits"]
            assert int(logits[0, -1].argmax()) == token
            ids.append(token)
    assert [len(record["token_ids"]) for record in found] == [6, 6]


def test_help_names_types_and_no_function(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["infer", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "<function" not in text
    assert "(type: Union[bool, Literal['never']]" in text


def test_every_decoding_option_is_a_flag() -> None:
    arguments = parser("infer", "")
    add_decoding_options(arguments)
    fields = dataclasses.fields(DecodingOptions)
    values = parse(arguments, [])
    assert all(values[field.name] is None for field in fields)
    given = {
        "max_new_tokens": 3, "min_new_tokens": 1, "temperature": 0.5, "top_k": 4, "top_p": 0.9, "min_p": 0.1,
        "repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "num_beams": 1, "length_penalty": 0.5,
        "coverage_penalty": 0.2, "num_beam_groups": 3, "diversity_penalty": 0.4, "penalty_alpha": 0.6,
        "early_stopping": "never", "num_return_sequences": 2, "suppress_tokens": [3, 4], "forced_bos_token_id": 5,
        "forced_eos_token_id": 6, "stop": ["a", "b c"], "eos_token_id": [1, 2], "seed": 7,
        "truncate_prompt": True, "truncate_source": True,
    }  # fmt: skip
    assert list(given) == [field.name for field in fields]
    words: list[str] = []
    for name, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            flag = [] if name != "stop" and f"--{name}" in words else [f"--{name}"]
            words += flag if each is True else [*flag, str(each)]
    values = parse(arguments, words)
    assert {name: values[name] for name in given} == given


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text", "a", "--top_p", "7"], "top_p must be above 0 and at most 1, not 7.0"),
        (["--text", "a", "--topp", "7"], "unknown option --topp; did you mean '--top_p'?"),
        (["--text", "a", "--max_new_tokens", "x"], "max_new_tokens: expected int, got x"),
        (["--text", "a", "--early_stopping", "often"], "early_stopping: 'often' is not one of 'never', true, false"),
        (["--text", "a", "--batch_size", "0"], "batch_size must be at least 1, not 0"),
        (["--text", "a", "--text", "b\udcff"], "--text: character 1 is not UTF-8, in 'b\\udcff'"),
        (["--text", "a", "--system", "\udce9"], "--system: character 0 is not UTF-8"),
        (["--text", "a", "--input", "b"], "--text and --input are two sources of texts"),
        (["--text", "a", "--graph", "portabel"], "no graph 'portabel'; did you mean 'portable'?"),
        (["--text", "a", "--provider", "gpu"], "there is no provider 'gpu'"),
        (["--text", "a" * 400], "prompt 0 has 400 tokens, but the model's length is 300"),
        (["--input", "{folder}/missing.txt"], "missing.txt: No such file or directory"),
        (["--input", "{folder}/empty.txt"], "empty.txt: holds no text"),
        (["--input", "{folder}/bytes.txt"], "bytes.txt: byte 0xff at offset 2 is not UTF-8"),
        (["--input", "{folder}/broken.jsonl"], "broken.jsonl:2: not a line of JSON"),
        (["--input", "{folder}/other.jsonl"], 'other.jsonl:1: expected an object with the text under "text"'),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    bundle: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "bytes.txt").write_bytes(b"ab\xff")
    (tmp_path / "broken.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (tmp_path / "other.jsonl").write_text('{"body": "a"}\n')
    output = tmp_path / "out.jsonl"
    words = [word.replace("{folder}", str(tmp_path)) for word in words]
    try:
        status = cli.main(["infer", str(bundle), "--output", str(output), *words])
    except SystemExit as error:  # argparse's own mistakes
        status = int(error.code or 0)
    printed = capsys.readouterr().err
    assert (status, printed.count("\n")) == (2, 1)
    assert printed.startswith("plmlight infer: ")
    assert message in printed
    assert not output.exists()


def test_a_model_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["infer", str(tmp_path / "none.ckpt"), "--text", "a"]) == 2
    assert "none.ckpt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--graph", "in_place"], "--graph chooses among a bundle's graphs, and this is no bundle"),
        (["--provider", "tensorrt"], "not a bundle, so it can not run on the provider 'tensorrt'"),
        (["--threads", "0"], "threads must be at least 1, not 0"),
    ],
)
def test_what_a_checkpoint_can_not_do(
    checkpoint: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["infer", str(checkpoint), "--text", "a", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_changed_bundle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_bundle(tmp_path / "bundle")
    with (folder / "model_in_place.onnx").open("r+b") as graph:
        graph.seek(100)
        graph.write(b"\x00\x01\x02")
    assert cli.main(["infer", str(folder), "--text", "a"]) == 2
    assert "model_in_place.onnx: changed since the verdict" in capsys.readouterr().err


def test_the_end_token_of_the_bundle_is_used(bundle: Path) -> None:
    assert runtime.load(bundle).options.eos_token_id == EOS
