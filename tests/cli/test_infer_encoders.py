"""``infer`` on masked language models and sentence embeddings: a bundle and its checkpoint answer alike."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from plmlight import cli, runtime
from tests.runtime.encoders import small_embedder, small_encoder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from plmlight.loading import write_checkpoint

    folder = tmp_path_factory.mktemp("infer")
    write_checkpoint(small_encoder(pairs=True), folder / "filling.ckpt")
    write_checkpoint(small_embedder(normalise=True), folder / "embedding.ckpt")
    return {path.stem: path for path in folder.iterdir()}


def answers(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    assert cli.main(["infer", *map(str, words)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_single_text_gets_a_line_a_token(filling_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Paris is [MASK] of France."
    assert cli.main(["infer", str(filling_bundle), "--text", text, "--top_k", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    ((wanted,),) = runtime.load(filling_bundle).fill([text], top_k=3)
    assert [line.split()[:2] for line in lines] == [[f"{each.score:.4f}", each.token] for each in wanted]
    assert all(line.endswith(each.text) for line, each in zip(lines, wanted, strict=True))


def test_masks_of_a_single_text_are_numbered(filling_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infer", str(filling_bundle), "--text", "[MASK] is [MASK]"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * (1 + 5)
    assert (lines[0], lines[6]) == ("mask 1", "mask 2")


def test_checkpoint_and_bundle_fill_alike(
    filling_bundle: Path, checkpoints: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["--text", "she opened [MASK]", "--text", "[MASK] and [MASK] garden", "--token_type_id", "1"]
    found = [answers(capsys, model, *texts) for model in (filling_bundle, checkpoints["filling"])]
    for mine, its in zip(*found, strict=True):
        assert mine["text"] == its["text"]
        for mask, other in zip(mine["masks"], its["masks"], strict=True):
            assert [each["token_id"] for each in mask] == [each["token_id"] for each in other]
            assert [each["score"] for each in mask] == pytest.approx([each["score"] for each in other], abs=1e-5)
    plain = answers(capsys, filling_bundle, *texts[:-2])
    assert plain[0]["masks"][0][0]["score"] != pytest.approx(found[0][0]["masks"][0][0]["score"], abs=1e-4)


def test_checkpoint_and_bundle_embed_alike(
    embedding_bundle: Path, checkpoints: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "the garden"}\n{"text": "Paris", "id": 3}\n')
    found = [
        answers(capsys, model, "--input", tmp_path / "in.jsonl")
        for model in (embedding_bundle, checkpoints["embedding"])
    ]
    for mine, its in zip(*found, strict=True):
        assert mine["text"] == its["text"]
        assert mine["embedding"] == pytest.approx(its["embedding"], abs=1e-5)
    assert [record["text"] for record in found[0]] == ["the garden", "Paris"]


def test_vectors_go_to_a_file(embedding_bundle: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert cli.main(["infer", str(embedding_bundle), "--text", "a door", "--output", str(output)]) == 0
    (record,) = map(json.loads, output.read_text().splitlines())
    assert record["embedding"] == pytest.approx(runtime.load(embedding_bundle).embed(["a door"])[0].tolist(), abs=1e-6)
    assert "1 answers to 1 texts" in capsys.readouterr().err


def test_a_terminal_shows_the_beginning_of_a_vector(embedding_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    assert cli.main(["infer", str(embedding_bundle), "--text", "a door", "--text", "Paris"]) == 0
    first, second = screen.getvalue().splitlines()
    assert first.startswith(f"24 numbers: {runtime.load(embedding_bundle).embed(['a door'])[0, 0]:8.4f}")
    assert (first.rpartition("  ")[2], second.rpartition("  ")[2]) == ("a door", "Paris")


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("filling", ["--temperature", "0.5"], "--temperature is not for .*, which fills masks: .* --top_k, --token"),
        (
            "embedding",
            ["--top_k", "3"],
            "--top_k is not for .*, which embeds texts: .* --token_type_id",
        ),
        ("filling", ["--echo"], "--echo is not for"),
        ("filling", [], r"text 0 has no mask: write \[MASK\] where"),
        ("filling", ["--text", "[MASK] " * 99], "text 1 has 101 tokens, but the model reads 37: shorten it"),
        ("filling", ["--top_k", "0"], "top_k must be at least 1, not 0"),
        ("embedding", ["--token_type_id", "7"], "token_type_id 7: the model tells 2 types apart"),
        ("embedding", ["--graph", "in_place"], "no graph 'in_place'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    kind: str,
    words: list[str],
    message: str,
    filling_bundle: Path,
    embedding_bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = filling_bundle if kind == "filling" else embedding_bundle
    text = "[MASK]" if words[:1] not in ([], ["--graph"]) else "plain"
    assert cli.main(["infer", str(bundle), "--text", text, *words]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    with pytest.raises(ValueError, match=message):
        raise ValueError(printed)


def test_an_option_of_encoders_is_not_for_a_language_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from tests.runtime.bundles import make_bundle

    bundle = make_bundle(tmp_path / "bundle")
    assert cli.main(["infer", str(bundle), "--text", "a", "--token_type_id", "1"]) == 2
    assert "--token_type_id is not for" in capsys.readouterr().err


def test_selftest_replays_filled_masks_and_vectors(
    filling_bundle: Path, embedding_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for bundle in (filling_bundle, embedding_bundle):
        assert cli.main(["selftest", str(bundle)]) == 0
        printed = capsys.readouterr().out
        assert printed.count("golden") == 4
        assert "passed on cpu, graph portable" in printed
