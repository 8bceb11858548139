"""What a classifier learns beside its labels: each loss by its formula, and a run that resumes exactly."""

import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import plmlight
from plmlight import (
    BERT,
    GPT,
    BagOfVectors,
    Distillation,
    LabelledText,
    LoRA,
    MaskedLM,
    MaskedWords,
    MultiLabel,
    PseudoLabels,
    RDrop,
    Regression,
    SingleLabel,
    TextClassification,
    cli,
)
from plmlight.callbacks import Checkpoints
from plmlight.heads.cross_entropy import IGNORED
from plmlight.loading import write_checkpoint
from plmlight.objectives import Batch, KeyedRandom
from plmlight.optim import AdamW
from plmlight.tasks import Auxiliary
from tests.runtime.encoders import wordpiece

pytestmark = [
    pytest.mark.filterwarnings("ignore:You have overridden `(transfer_batch|on_after_batch|on_before_batch)"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]
LABELS = ["neg", "neutral", "pos"]
TINY: dict[str, Any] = {"vocab_size": 101, "d_model": 16, "num_layers": 1, "num_heads": 2, "max_length": 32}
WORDS = ["paris", "france", "garden", "door"]


def classifier(*auxiliary: Auxiliary, dropout: float = 0.0, labels: list[str] = LABELS, **given: Any) -> Any:
    torch.manual_seed(len(auxiliary))
    network = given.pop("network", None) or BERT(**TINY, dropout=dropout)
    task = TextClassification(network, labels, head_dropout=dropout, auxiliary=list(auxiliary) or None, **given)
    task.tokenizer = wordpiece()
    return task


def shaken(task: TextClassification) -> TextClassification:
    """Makes weights large enough for answers to differ."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return task.eval()


def batch(task: TextClassification, labels: list[int], progress: float = 0.5) -> Batch:
    """Texts of random tokens, the last of them padding."""
    generator = torch.Generator().manual_seed(3)
    rows = len(labels)
    given = {
        "input_ids": torch.randint(10, 70, (rows, 7), generator=generator),
        "attention_mask": torch.tensor([[1] * 7] * (rows - 1) + [[1] * 5 + [0] * 2]),
        "labels": torch.tensor(labels),
        "sample_ids": torch.arange(rows),
    }
    return task.prepare(given, KeyedRandom(0, given["sample_ids"], torch.tensor(0), progress))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "teacher.ckpt"
    write_checkpoint(shaken(classifier(network=BERT(**{**TINY, "d_model": 24}))), path)
    return path


def test_classes_are_as_far_apart_as_hintons_formula_says() -> None:
    mine, theirs = torch.randn(5, 3), torch.randn(5, 3)
    found = SingleLabel().distance(mine, theirs, 4.0)
    p, q = (theirs / 4).softmax(-1), (mine / 4).softmax(-1)
    torch.testing.assert_close(found, 16 * (p * (p / q).log()).sum(-1), atol=1e-5, rtol=1e-4)
    assert SingleLabel().distance(mine, mine, 4.0).abs().max() < 1e-5


def test_labels_by_themselves_and_numbers_have_a_distance_too() -> None:
    mine, theirs = torch.randn(5, 3), torch.randn(5, 3)
    p, q = (theirs / 2).sigmoid(), (mine / 2).sigmoid()
    each = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(MultiLabel().distance(mine, theirs, 2.0), 4 * each.mean(-1), atol=1e-5, rtol=1e-4)
    assert MultiLabel().distance(mine, mine, 2.0).abs().max() < 1e-5
    assert Regression().distance(torch.tensor([[3.0]]), torch.tensor([[1.0]]), 2.0).tolist() == [4.0]


def test_a_student_comes_to_answer_as_its_teacher(teacher: Path) -> None:
    task = classifier(Distillation(str(teacher), temperature=1.0, weight=2.0), optimizer=AdamW(lr=3e-2))
    for part in task.auxiliaries:
        part.setup(task)
    opened = plmlight.load(teacher)
    texts = batch(task.train(), [IGNORED] * 6)
    with torch.no_grad():
        wanted = opened(texts["input_ids"], texts["attention_mask"])["logits"]
        outputs = task.read(texts)
        parts = task.loss(outputs, texts)
    total, count = parts["distillation_loss"]
    assert (float(parts["loss"][1]), float(count)) == (0.0, 6.0)
    expected = 2 * SingleLabel().distance(outputs["logits"], wanted, 1.0).sum()
    torch.testing.assert_close(total, expected)
    texts["sample_ids"][-1] = -1  # padding teaches nothing
    assert task.loss(outputs, texts)["distillation_loss"][1] == 5
    texts["sample_ids"][-1] = 5
    far = (outputs["logits"].softmax(-1) - wanted.softmax(-1)).abs().max()
    assert far > 0.3
    optimizer = task.optimizer(task)
    for _ in range(60):
        optimizer.zero_grad()
        task.loss(task.read(texts), texts)["distillation_loss"][0].backward()
        optimizer.step()
    with torch.no_grad():
        found = task.eval().read(texts)["logits"]
    torch.testing.assert_close(found.softmax(-1), wanted.softmax(-1), atol=0.05, rtol=0)
    assert list(task.loss(task.read(texts), texts)) == ["loss"]  # what is reported is of the labels alone


def test_a_teacher_is_no_part_of_the_student(teacher: Path) -> None:
    task, alone = classifier(Distillation(str(teacher))), classifier()
    for part in task.auxiliaries:
        part.setup(task)
    assert task.state_dict().keys() == alone.state_dict().keys()
    assert task.trained_parameters() == alone.trained_parameters()


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (lambda d: classifier(d, labels=LABELS[::-1]), r"its labels are \['neg', 'neutral', 'pos'\] \(single-label\)"),
        (lambda d: classifier(d, problem=MultiLabel()), r"expected \['neg', 'neutral', 'pos'\] \(multi-label\)"),
        (lambda d: classifier(d, max_length=64), "reads 32 tokens, but texts have up to 64"),
    ],
)
def test_a_teacher_that_speaks_of_something_else_is_refused(student: Any, message: str, teacher: Path) -> None:
    task = student(Distillation(str(teacher)))
    with pytest.raises(ValueError, match=rf"teacher .*teacher\.ckpt: .*{message}"):
        next(iter(task.auxiliaries)).setup(task)


def test_a_teacher_that_cannot_teach_is_refused(teacher: Path, tmp_path: Path) -> None:
    other = Distillation(str(teacher))
    task = classifier(other)
    task.tokenizer = None
    with pytest.raises(ValueError, match=r"teacher\.ckpt: its tokenizer is another"):
        other.setup(task)
    write_checkpoint(MaskedLM(BERT(**TINY)), tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=r"x\.ckpt: holds a MaskedLM, expected a TextClassification"):
        Distillation(str(tmp_path / "x.ckpt")).setup(task)
    shaken(classifier(pooling="pooler")).save_pretrained(str(tmp_path / "folder"))
    with pytest.raises(ValueError, match="folder: is no checkpoint; from Python give it to use_teacher"):
        Distillation(str(tmp_path / "folder")).setup(task)
    with pytest.raises(ValueError, match="nothing"):
        Distillation(str(tmp_path / "nothing")).setup(task)


def test_only_sure_answers_become_labels() -> None:
    part = PseudoLabels(threshold=0.4, weight=3.0, warmup=0.8)
    task = shaken(classifier(part, dropout=0.3)).train()
    task.head.eval()  # as a callback may have left it
    texts = batch(task, [1, IGNORED, IGNORED, 0, IGNORED, IGNORED], progress=0.2)
    assert texts["pseudo_share"] == 0.25
    texts["sample_ids"][-1] = -1
    torch.manual_seed(5)
    outputs = task.read(texts)
    modes = [module.training for module in task.modules()]
    with torch.no_grad():
        answers = task.eval().read(texts)["logits"].softmax(-1)
    for module, training in zip(task.modules(), modes, strict=True):
        module.training = training
    part.threshold = float(answers[[1, 2, 4]].max(-1).values.sort().values[1])  # two of the three are sure
    total, count = task.loss(outputs, texts)["pseudo_loss"]
    sure = [row for row in (1, 2, 4) if answers[row].max() >= part.threshold]
    assert (len(sure), float(count)) == (2, 3.0)
    expected = F.cross_entropy(outputs["logits"][sure], answers[sure].argmax(-1), reduction="sum")
    torch.testing.assert_close(total, 3.0 * 0.25 * expected)
    assert [module.training for module in task.modules()] == modes
    assert not task.head.training


def test_without_texts_to_guess_there_is_a_part_of_nothing() -> None:
    task = classifier(PseudoLabels()).train()
    texts = batch(task, [0, 1, 2])
    total, count = task.loss(task.read(texts), texts)["pseudo_loss"]
    assert (float(total.detach()), float(count)) == (0.0, 0.0)


def test_hidden_tokens_are_found_as_a_masked_language_model_finds_them() -> None:
    part = MaskedWords(weight=0.5)
    task = shaken(classifier(part)).train()
    part.setup(task)
    texts = batch(task, [0, IGNORED, 1, 2, IGNORED])
    assert isinstance(task.network, BERT)
    model = MaskedLM(task.network)
    model.head = part.head
    model.tokenizer = task.tokenizer
    given = {name: texts[name] for name in ("input_ids", "attention_mask", "sample_ids")}
    wanted, hidden = model.parts(model.prepare(given, KeyedRandom(0, given["sample_ids"], torch.tensor(0))))["loss"]
    parts = task.loss(task.read(texts), texts)
    total, count = parts["mlm_loss"]
    assert float(count) == float(hidden) > 0
    torch.testing.assert_close(total, 0.5 * wanted)
    plain = classifier()
    plain.load_state_dict(task.state_dict(), strict=False)
    torch.testing.assert_close(parts["loss"][0], plain.loss(plain.read(texts), texts)["loss"][0])
    assert "masked_ids" not in batch(task.eval(), [0, 1])


def test_two_answers_under_dropout_come_near_each_other() -> None:
    task = shaken(classifier(RDrop(weight=0.5), dropout=0.3)).train()
    given = batch(task, [0, IGNORED, 2, 1])
    given["sample_ids"][3] = -1  # fills up the batch
    torch.manual_seed(4)
    outputs = task.read(given)
    total, count = task.loss(outputs, given)["r_drop_loss"]
    torch.manual_seed(4)
    first, second = (task.read(given)["logits"][:3].double().softmax(-1) for _ in range(2))
    each = ((first - second) * (first.log() - second.log())).sum(-1) / 2
    assert count == 3
    torch.testing.assert_close(total.double(), 0.5 * each.sum(), atol=1e-6, rtol=1e-5)
    assert float(total.detach()) > 0.01
    (slope,) = torch.autograd.grad(total, outputs["logits"], retain_graph=True)
    assert (slope[:3].abs().sum(-1) > 0).all()
    assert not slope[3].any()
    assert "r_drop_loss" not in task.eval().loss(task.read(given), given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PseudoLabels(threshold=1.0), r"PseudoLabels: threshold 1\.0: expected more than 0"),
        (lambda: PseudoLabels(warmup=1.5), r"PseudoLabels: warmup 1\.5: expected 0 to 1"),
        (lambda: MaskedWords(weight=0), "MaskedWords: weight 0: expected more than 0"),
        (lambda: Distillation("x", temperature=0.0), r"Distillation: temperature 0\.0: expected more than 0"),
        (lambda: classifier(PseudoLabels(), problem=MultiLabel()), "PseudoLabels are for one class of a text"),
        (lambda: classifier(MaskedWords(), network=GPT(**TINY)), "MaskedWords needs an encoder, and GPT is none"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def texts_of(folder: Path) -> LabelledText:
    """A few texts with a label, and more without."""
    rows = [f"{WORDS[n % 3]} {WORDS[n % 4]} {'door ' * (n % 5)}" for n in range(36)]
    (folder / "some.tsv").write_text("".join(f"{text}\t{LABELS[n % 3]}\n" for n, text in enumerate(rows[:12])))
    (folder / "more.tsv").write_text("".join(f"{text}\n" for text in rows[12:]))
    wordpiece().save(str(folder / "tokenizer.json"))
    return LabelledText(
        str(folder / "some.tsv"),
        *(1, 2),
        validation_files=str(folder / "some.tsv"),
        unlabelled_files=str(folder / "more.tsv"),
        tokenizer=str(folder / "tokenizer.json"),
        max_length=16,
        batch_size=6,
        cache_folder=str(folder / "cache"),
    )


def fitted(data: LabelledText, folder: Path, teacher: Path, steps: int, resume: Path | None = None) -> Any:
    torch.manual_seed(1)
    parts = (Distillation(str(teacher)), PseudoLabels(threshold=0.35, warmup=0.5), MaskedWords(), RDrop())
    task = classifier(*parts, dropout=0.2, optimizer=AdamW(lr=1e-2), max_length=16)
    run = pl.Trainer(
        max_steps=8, default_root_dir=folder, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1, callbacks=[Stop(steps),
        Checkpoints(every_n_steps=1)],
    )  # fmt: skip
    run.fit(task, data, ckpt_path=resume, weights_only=True)
    assert run.global_step == steps
    return task, {name: float(value) for name, value in run.callback_metrics.items()}


class Stop(pl.Callback):
    """Stops a run, as a user may."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.steps


def test_all_together_resume_bit_for_bit(teacher: Path, tmp_path: Path) -> None:
    straight, logged = fitted(texts_of(tmp_path), tmp_path / "a", teacher, 8)
    assert {
        "train_loss",
        "train_distillation_loss",
        "train_pseudo_loss",
        "train_mlm_loss",
        "train_r_drop_loss",
    } <= logged.keys()
    assert not {"val_pseudo_loss", "val_mlm_loss"} & logged.keys()
    assert min(logged["train_pseudo_loss"], logged["train_mlm_loss"], logged["train_distillation_loss"]) > 0
    fitted(texts_of(tmp_path), tmp_path / "b", teacher, 4)
    resumed, _ = fitted(texts_of(tmp_path), tmp_path / "b", teacher, 8, tmp_path / "b" / "last.ckpt")
    for (name, one), other in zip(straight.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_a_checkpoint_answers_without_its_teacher(teacher: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.ckpt"
    gone.write_bytes(teacher.read_bytes())
    task = shaken(classifier(Distillation(str(gone)), PseudoLabels(), MaskedWords(), pooling="pooler", adapter=LoRA()))
    write_checkpoint(task, tmp_path / "x.ckpt")
    gone.unlink()
    again = plmlight.load(tmp_path / "x.ckpt")
    ids = torch.randint(5, 90, (2, 6))
    assert torch.equal(again(ids)["logits"], task(ids)["logits"])
    merged = task.merged()
    assert isinstance(merged, TextClassification)
    merged.save_pretrained(str(tmp_path / "folder"))
    found: Tensor = plmlight.load(tmp_path / "folder")(ids)["logits"]
    torch.testing.assert_close(found, task(ids)["logits"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("problem", ["single-label", "multi-label", "regression"])
def test_texts_without_a_label_are_among_those_to_train_on(problem: Any, tmp_path: Path) -> None:
    labels = ["1", "2"] * 5
    (tmp_path / "some.tsv").write_text("".join(f"a text {n}\t{label}\n" for n, label in enumerate(labels)))
    (tmp_path / "more.txt").write_text("another\ntext\nwith new words\n")
    files, more = str(tmp_path / "some.tsv"), str(tmp_path / "more.txt")
    given: dict[str, Any] = {"problem": problem, "cache_folder": str(tmp_path / "cache"), "unlabelled_files": more}
    data = LabelledText(files, 1, 2, **given)
    known = len(data.examples["fit"]) - 3
    assert [example.text for example in data.examples["fit"][known:]] == ["another", "text", "with new words"]
    assert known + len(data.examples["validate"]) == 10
    labels_of = data.samples("fit").batch(np.arange(known + 3), 0)["labels"]
    none = labels_of.isnan() if problem == "regression" else (labels_of == IGNORED).reshape(known + 3, -1).all(1)
    assert none.tolist() == [False] * known + [True] * 3
    assert data.tokenizer.encode("new words").tokens.count("[UNK]") == 0
    if data.label_counts is not None:
        assert int(data.label_counts.sum()) == known


def bag(folder: Path, *more: str) -> list[str]:
    """Words of a run of two steps on some.tsv."""
    return [
        *("fit", "--model", "TextClassification", "--model.network", "BagOfVectors", "--model.network.d_model", "8"),
        *("--data", "LabelledText", "--data.text_field", "1", "--data.label_field", "2"),
        *("--data.files", str(folder / "some.tsv"), "--data.validation_fraction", "0", "--data.max_length", "16"),
        *("--data.cache_folder", str(folder / "cache"), "--trainer.default_root_dir", str(folder)),
        *("--data.batch_size", "4", "--trainer.max_steps", "2", "--trainer.accelerator", "cpu", *more),
    ]


def test_the_command_takes_one_by_its_name(tmp_path: Path) -> None:
    texts_of(tmp_path)
    assert cli.main(bag(tmp_path, "--model.auxiliary", "RDrop", "--model.auxiliary.weight", "2")) == 0
    trained = plmlight.load(tmp_path / "last.ckpt")
    assert isinstance(trained, TextClassification)
    [part] = trained.auxiliaries
    assert isinstance(part, RDrop)
    assert part.weight == 2
    teacher = ("--model.auxiliary", "Distillation", "--model.auxiliary.teacher", str(tmp_path / "last.ckpt"))
    assert cli.main(bag(tmp_path, *teacher)) == 0, "the tokenizer is the teacher's"


def test_a_name_of_none_is_refused_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts_of(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        cli.main(bag(tmp_path, "--model.auxiliary", "RDorp"))
    assert capsys.readouterr().err == "plmlight fit: auxiliary: there is no class 'RDorp'; did you mean 'RDrop'?\n"


def test_the_command_opens_a_folder_as_teacher(tmp_path: Path) -> None:
    texts_of(tmp_path)
    shaken(classifier(pooling="pooler")).save_pretrained(str(tmp_path / "teacher"))
    words = bag(
        tmp_path,
        *("--model.problem", "SingleLabel", "--model.problem.class_weights", "balanced"),
        "--model.auxiliary",
        f"[{{class_path: Distillation, init_args: {{teacher: {tmp_path / 'teacher'}}}}}, {{class_path: PseudoLabels}}]",
        *("--data.unlabelled_files", str(tmp_path / "more.tsv")),
    )
    assert cli.main(words) == 0, "the tokenizer is the teacher's"
    trained = plmlight.load(tmp_path / "last.ckpt")
    assert isinstance(trained, TextClassification)
    assert isinstance(trained.network, BagOfVectors)
    weights = trained.problem.class_weights
    assert weights is not None
    assert weights.tolist() == [1.0, 1.0, 1.0]  # of the texts with a label
    assert trained.tokenizer is not None
    assert trained.tokenizer.get_vocab() == wordpiece().get_vocab()
    shutil.rmtree(tmp_path / "teacher")
    words += ["--ckpt_path", str(tmp_path / "last.ckpt"), "--data.test_files", str(tmp_path / "some.tsv")]
    assert cli.main(["test", *words[1:]]) == 0, "what was taught needs no teacher"
    assert cli.main(words) == 2
