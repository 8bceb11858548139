"""A run's report: one file that explains itself, in which nothing of the data is more than text."""

import re
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest

from plmlight import BagOfVectors, LabelledText, TextClassification
from plmlight.callbacks import Report
from plmlight.callbacks.report_page import POINTS, Content, report_page
from plmlight.metrics.answers import score_answers
from plmlight.metrics.spans import tag_counts
from plmlight.optim import AdamW
from plmlight.tasks.analyses import SQUARE, WORST, of_answers, of_classes, of_label_sets, of_numbers, of_tags
from plmlight.text.tables import Analysis, Mistake, Table

pytestmark = pytest.mark.filterwarnings("ignore:You have overridden `(transfer_batch|on_after_batch|on_before_batch)")
HOSTILE = "<img src=x onerror=alert(1)>"


def trainer(folder: Path, report: Report, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        default_root_dir=folder,
        callbacks=[report],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=2,
        **options,
    )


def parts(folder: Path) -> tuple[TextClassification, LabelledText]:
    """Two classes that words tell, and an example in each set whose label is wrong, with a text that is no text."""
    rows = [f"it is {['bad', 'good'][number % 2]}\t{['neg', '<pos>'][number % 2]}\n" for number in range(40)]
    (folder / "x.tsv").write_text("".join(rows))
    held = [*rows[:8], f"it is bad {HOSTILE} good bad bad bad\t<pos>\n"]
    (folder / "v.tsv").write_text("".join(held))
    data = LabelledText(
        str(folder / "x.tsv"),
        *(1, 2),
        validation_files=str(folder / "v.tsv"),
        test_files=str(folder / "v.tsv"),
        max_length=12,
        tokenizer_vocab_size=100,
        cache_folder=str(folder / "cache"),
    )
    network = BagOfVectors(data.vocab_size, d_model=16)
    return TextClassification(network, data.labels, optimizer=AdamW(lr=0.1)), data


def test_a_run_is_reported(tmp_path: Path) -> None:
    pl.seed_everything(0, verbose=False)
    task, data = parts(tmp_path)
    report = Report()
    run = trainer(tmp_path / "run", report, max_epochs=5, enable_checkpointing=False)
    run.fit(task, data)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<script" not in page
    assert "http" not in page
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<pos>" not in page
    # 4 of 5 of a class are found, 4 of the 5 that are said to be of the other are of it
    classes = {name: re.findall(r'number">([\d.]+)', row) for name, row in named_rows(page, "Classes")}
    assert classes == {"&lt;pos&gt;": ["100", "80", "88.89", "5"], "neg": ["80", "100", "88.89", "4"]}
    confusions = {name: re.findall(r">([\d.]+)</td>", row) for name, row in named_rows(page, "Confusions")}
    assert confusions == {"&lt;pos&gt;": ["4", "1"], "neg": ["0", "4"]}
    assert len(named_rows(page, "Mistakes")) == 1
    balance = {name: re.findall(r'number">([\d.]+)', row) for name, row in named_rows(page, "Balance of labels")}
    assert balance["neg"] == ["20", "50", "4", "44.44", "4", "44.44"]
    lengths = {name: re.findall(r'number">([\d.]*)', row) for name, row in named_rows(page, "Data")}
    assert lengths["training"][:2] == ["40", "40"]
    assert lengths["validation"][-2:] == ["1", "11.11"]  # the long one is cut
    assert lengths["test"] == ["9", *[""] * 7]  # not read yet
    assert "<polyline" in page
    assert "val_loss" in page
    assert "train_loss" in page
    (metrics,) = run.test(task, data, verbose=False)
    page = (tmp_path / "run" / "report-test.html").read_text()
    assert f"{metrics['test_accuracy']:.4g}" in page
    assert "&lt;img" in page
    assert "<polyline" not in page


def named_rows(page: str, title: str) -> list[tuple[str, str]]:
    """The rows of a table after the heads: the first cell and the rest."""
    body = page.split(f"<h2>{title}</h2>", 1)[1].split("</table>", 1)[0]
    rows = [
        re.fullmatch(r"<t[dh][^>]*>(.*?)</t[dh]>(.*)", row, re.S) for row in re.findall("<tr>(.*?)</tr>", body, re.S)
    ]
    return [(row[1], row[2]) for row in rows[1:] if row]


def test_curves_go_on_where_a_run_goes_on(tmp_path: Path) -> None:
    task, data = parts(tmp_path)
    report = Report()
    run = trainer(tmp_path, report, max_epochs=2, enable_checkpointing=False)
    run.fit(task, data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    task, data = parts(tmp_path)
    again = Report(str(tmp_path / "again"))
    run = trainer(tmp_path, again, max_epochs=4, enable_checkpointing=False)
    run.fit(task, data, ckpt_path=str(tmp_path / "x.ckpt"))
    (before,), (after,) = ([each._curves["val_accuracy"]] for each in (report, again))
    assert [step for step, _ in after] == [1, 2, 3, 4]
    assert after[:2] == before
    assert "After 4 steps; the last validation." in (tmp_path / "again" / "report.html").read_text()


def test_a_report_of_a_run_that_goes_on_without_validation_or_not_at_all(tmp_path: Path) -> None:
    task, data = parts(tmp_path)
    run = trainer(tmp_path, Report(), max_epochs=2, enable_checkpointing=False)
    run.fit(task, data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    page = (tmp_path / "report.html").read_text()
    for epochs in (2, 3):
        options: dict[str, Any] = {"max_epochs": epochs, "limit_val_batches": 0, "enable_checkpointing": False}
        trainer(tmp_path, Report(), **options).fit(*parts(tmp_path), ckpt_path=str(tmp_path / "x.ckpt"))
        if epochs == 2:
            assert (tmp_path / "report.html").read_text() == page
    assert (
        "After 3 steps; the last validation was before the run was resumed." in (tmp_path / "report.html").read_text()
    )


def test_only_the_first_rank_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, data = parts(tmp_path)
    run = trainer(tmp_path / "run", Report(), max_epochs=1, enable_checkpointing=False)
    monkeypatch.setattr(type(run), "is_global_zero", False)
    run.fit(task, data)
    run.test(task, data, verbose=False)
    assert not list(tmp_path.rglob("*.html"))


def test_a_trial_run_and_one_without_validation(tmp_path: Path) -> None:
    task, data = parts(tmp_path)
    trainer(tmp_path, Report(), fast_dev_run=True).fit(task, data)
    assert not list(tmp_path.rglob("*.html"))
    trainer(tmp_path, Report(), max_epochs=1, limit_val_batches=0, enable_checkpointing=False).fit(task, data)
    page = (tmp_path / "report.html").read_text()
    assert "without validation" in page
    assert "<h2>Mistakes" not in page
    assert "<h2>Balance of labels" in page


def test_the_most_certain_mistakes_come_first() -> None:
    said, certainty = np.array([0, 1, 0, 1, 1]), np.array([0.9, 0.6, 0.7, 0.8, 0.99])
    found = of_classes(said, certainty, np.array([0, 0, 1, 0, 1]), ["a", "b"], np.arange(10, 15))
    assert found.mistakes == [Mistake(13, "a", "b", 0.8), Mistake(12, "b", "a", 0.7), Mistake(11, "a", "b", 0.6)]
    scores, confusion = found.tables
    assert scores.rows[0] == ["a", pytest.approx(50), pytest.approx(100 / 3), pytest.approx(40), 3]
    assert confusion.rows == [["a", 1, 2], ["b", 1, 1]]


def test_of_many_classes_the_pairs_are_told() -> None:
    names = [str(number) for number in range(SQUARE + 1)]
    labels = np.repeat(np.arange(len(names)), 2)
    found = of_classes((labels + (labels > 0)) % len(names), np.ones(len(labels)), labels, names, labels)
    assert len(found.mistakes) == WORST
    assert found.tables[1].rows[0] == ["1", "2", 2]
    assert not found.tables[1].confusion


def test_sets_of_labels_and_numbers() -> None:
    scores = np.array([[0.9, 0.2], [0.4, 0.95], [0.1, 0.1]])
    found = of_label_sets(scores, np.array([[1, 0], [1, 0], [0, 0]]), np.array([0.5, 0.5]), ["a", "b"], np.arange(3))
    assert found.mistakes == [Mistake(1, "a", "b", 0.95)]
    assert found.tables[0].rows == [["a", 100.0, 50.0, pytest.approx(200 / 3), 2], ["b", 0.0, 0.0, 0.0, 0]]
    found = of_numbers(np.array([1.0, 4.0]), np.array([1.5, 2.0]), np.array([7, 8]))
    assert found.mistakes == [Mistake(8, "2", "4", 2.0), Mistake(7, "1.5", "1", 0.5)]
    assert [row[-1] for row in found.tables[0].rows] == [0.5, 2.0]


def test_tags_are_told_with_their_words() -> None:
    gold, said = [["O", "B-X"], ["B-X", "O"]], [["O", "B-X"], ["O", "O"]]
    found = of_tags(gold, said, ["B-X", "O"], tag_counts(gold, said, "BIO"), np.arange(2))
    assert found.tables[0].rows == [["X", 100.0, 50.0, pytest.approx(200 / 3), 2]]
    assert found.mistakes == [Mistake(1, ((0, "B-X"),), ((0, "O"),), 1.0)]
    page = report_page(Content("t", "", analysis=found, texts=[("<b>", "then")]))
    assert "&lt;b&gt; <b>B-X</b>" in page


def test_the_worst_answers() -> None:
    references = [["the cat"], [], ["a dog"]]
    said = ["cat", "x", "cat"]
    scores = score_answers(said, references)
    found = of_answers(said, references, scores, np.array([1.0, 2.0, 3.0]), np.array([0, 3, 5]))
    assert [row[:3] for row in found.tables[0].rows] == [
        ["all", 3, pytest.approx(100 / 3)],
        ["with an answer", 2, 50.0],
        ["without an answer", 1, 0.0],
    ]
    assert [mistake.sample for mistake in found.mistakes] == [5, 3]
    assert found.mistakes[1].label == "(none)"


def test_a_page_of_what_is_hostile_or_no_number() -> None:
    table = Table(HOSTILE, [HOSTILE], [[HOSTILE], [None], [0.5]], HOSTILE)
    square = Table("c", ["", HOSTILE], [[HOSTILE, 1]], confusion=True)
    curves = {f"val_{HOSTILE}": [(1, float("nan")), (2, 1.0)], "val_b": [(n, float(n)) for n in range(10 * POINTS)]}
    analysis = Analysis([table, square], [Mistake(0, HOSTILE, "\ud800", 1.0)])
    page = report_page(
        Content(HOSTILE, HOSTILE, curves, {HOSTILE: float("inf")}, analysis, [f"{HOSTILE}{'x' * 9999}"], [table])
    )
    assert "<img" not in page
    assert "nan" not in re.sub("<style>.*</style>", "", page, flags=re.S)
    assert "x" * 1000 not in page
    assert page.encode()
    assert max(len(points.split()) for points in re.findall('points="([^"]*)"', page)) == POINTS
