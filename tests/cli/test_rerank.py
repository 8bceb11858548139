"""``infer --documents --rerank`` and ``evaluate --rerank``: checkpoint and bundle give one order."""

import json
from pathlib import Path

import pytest

from plmlight import cli
from plmlight.export import export_bundle
from plmlight.loading import write_checkpoint
from plmlight.networks import BERT
from plmlight.tasks import Regression, TextClassification
from tests.runtime.encoders import small_embedder
from tests.runtime.labelled import ready, small_classifier

DOCUMENTS = [
    "paris is the capital",
    "she opened the door",
    "天气很好",
    "the garden of france",
    "a door went into paris",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that embeds and one that reads pairs, as checkpoints and as bundles, and documents."""
    folder = tmp_path_factory.mktemp("rerank")
    network = BERT(vocab_size=101, d_model=24, num_layers=1, num_heads=3, max_length=37)
    tasks = {"bi": small_embedder(normalise=True), "cross": ready(TextClassification(network, ["score"], Regression()))}
    for name, task in tasks.items():
        write_checkpoint(task, folder / f"{name}.ckpt")
        assert export_bundle(task, None, folder / name).passed
    write_checkpoint(small_classifier(), folder / "classes.ckpt")
    lines = [json.dumps({"id": number, "text": text}) for number, text in enumerate(DOCUMENTS)]
    (folder / "documents.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "documents.txt").write_text("\n\n".join(DOCUMENTS) + "\n")
    rows = [json.dumps({"sentence1": DOCUMENTS[n], "sentence2": DOCUMENTS[n - 1]}) for n in range(5)]
    (folder / "pairs.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def found(folder: Path, bi: str, *words: str) -> list[list[tuple[int, float]]]:
    asked = ["--text", "the door of paris", "--text", "天气", "--documents", str(folder / "documents.jsonl")]
    output = folder / "found.jsonl"
    assert cli.main(["infer", str(folder / bi), *asked, *words, "--output", str(output)]) == 0
    answers = [json.loads(line) for line in output.read_text().splitlines()]
    assert [answer["text"] for answer in answers] == ["the door of paris", "天气"]
    for match in answers[0]["matches"]:
        assert match["document"] == {"id": match["place"], "text": DOCUMENTS[match["place"]]}
    return [[(match["place"], match["score"]) for match in answer["matches"]] for answer in answers]


def test_checkpoint_and_bundle_give_one_order(folder: Path) -> None:
    alone = found(folder, "bi.ckpt", "--top_k", "4")
    torch = found(folder, "bi.ckpt", "--top_k", "4", "--rerank", str(folder / "cross.ckpt"))
    bundle = found(folder, "bi", "--top_k", "4", "--rerank", str(folder / "cross"))
    for mine, its in zip(torch, bundle, strict=True):
        assert [place for place, _ in mine] == [place for place, _ in its]
        assert [score for _, score in mine] == pytest.approx([score for _, score in its], abs=1e-5)
        assert [score for _, score in mine] == sorted((score for _, score in mine), reverse=True)
    assert [{place for place, _ in row} for row in torch] == [{place for place, _ in row} for row in alone]
    assert [[place for place, _ in row] for row in torch] != [[place for place, _ in row] for row in alone]
    best = found(folder, "bi", "--top_k", "1", "--candidates", "4", "--rerank", str(folder / "cross"))
    assert [row[0][0] for row in best] == [row[0][0] for row in torch]


def test_the_scores_are_those_of_the_pairs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ((place, score), *_), _ = found(folder, "bi.ckpt", "--rerank", str(folder / "cross.ckpt"))
    capsys.readouterr()
    pair = ["--text", "the door of paris", "--pair", DOCUMENTS[place]]
    assert cli.main(["infer", str(folder / "cross.ckpt"), *pair]) == 0
    assert float(capsys.readouterr().out) == pytest.approx(score, abs=1e-4)


def test_a_person_sees_a_line_a_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--documents", str(folder / "documents.txt"), "--top_k", "2", "--rerank", str(folder / "cross")]
    assert cli.main(["infer", str(folder / "bi"), "--text", "paris", *words]) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2
    assert all(text in DOCUMENTS for _, text in lines)


def test_a_retrieval_is_evaluated_alone_and_reranked(folder: Path) -> None:
    values = []
    for kind in (".ckpt", ""):
        words = ["--metric", "retrieval", "--data", str(folder / "pairs.jsonl"), "--samples", "20", "--candidates", "3"]
        words += ["--rerank", str(folder / f"cross{kind}"), "--output", str(folder / "result.json")]
        assert cli.main(["evaluate", str(folder / f"bi{kind}"), *words]) == 0
        result = json.loads((folder / "result.json").read_text())
        assert result["counts"]["pairs read"] == 15
        values.append([result["values"]["mrr@10"]["value"], result["baseline"]["values"]["mrr@10"]["value"]])
    assert values[0] == values[1]
    assert values[0][0] != values[0][1]


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        ("bi", ["--rerank", "cross"], "--rerank is for a search: name the --documents that are searched"),
        ("cross", ["--documents", "documents.txt"], "--documents are searched by a model that embeds, and "),
        ("bi", ["--documents", "documents.txt", "--rerank", "bi"], "bi: expected a TextClassification of pairs"),
        (
            "bi",
            ["--documents", "documents.txt", "--rerank", "classes.ckpt"],
            "not by the 3 labels news, sport, weather",
        ),
        ("bi", ["--documents", "documents.txt", "--candidates", "20"], "--candidates 20: so many are re-ranked by"),
        ("bi", ["--documents", "documents.txt", "--token_type_id", "1"], "--token_type_id is not for a search"),
        (
            "bi",
            ["--documents", "bad.jsonl"],
            'bad.jsonl:2: expected an object with the text of a document under "text"',
        ),
        ("bi", ["--documents", "empty.txt"], "empty.txt: holds no document"),
        ("bi", ["--documents", "missing.txt"], "missing.txt"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    model: str,
    words: list[str],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    Path("bad.jsonl").write_text('{"text": "a"}\n{"title": "b"}\n')
    Path("empty.txt").write_text("\n")
    assert cli.main(["infer", model, "--text", "paris", *words]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
