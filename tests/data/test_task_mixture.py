import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmlight.data import MixedTask, TaskMixture
from plmlight.data.mixture import draws

SIZES = {"copy": 240, "count": 60, "shout": 20}


def tasks(tmp_path: Path, **changes: Any) -> dict[str, MixedTask]:
    made = {}
    for name, size in SIZES.items():
        path = tmp_path / f"{name}.jsonl"
        records = [{"source": f"{name} {i}" + " x" * (i % 9), "target": f"{i} {name}"} for i in range(size)]
        path.write_text("\n".join(map(json.dumps, records)))
        made[name] = MixedTask(str(path), prefix=f"{name}: ", **changes.get(name, {}))
    return made


def mixture(tmp_path: Path, found: dict[str, MixedTask] | None = None, **options: Any) -> TaskMixture:
    settings = {"tokenizer_kind": "byte", "validation_fraction": 0.0, "cache_folder": str(tmp_path / "cache")}
    return TaskMixture(tasks(tmp_path) if found is None else found, **{**settings, **options})


def sources(made: TaskMixture, batches: Any) -> list[str]:
    rows = [
        row[mask > 0].tolist() for b in batches for row, mask in zip(b["input_ids"], b["attention_mask"], strict=True)
    ]
    return [text.removesuffix("<|endoftext|>") for text in made.tokenizer.decode_batch(rows)]


def counts(texts: list[str]) -> list[int]:
    return [sum(text.startswith(f"{name}: ") for text in texts) for name in SIZES]


def take(loader: Any, count: int) -> list[dict[str, torch.Tensor]]:
    return list(itertools.islice(itertools.chain.from_iterable(loader for _ in itertools.count()), count))


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({}, [240, 60, 20]),
        ({"limit": 60}, [60, 60, 20]),
        ({"temperature": 2.0}, [240**0.5, 60**0.5, 20**0.5]),
        ({"limit": 60, "temperature": 2.0}, [60**0.5, 60**0.5, 20**0.5]),
    ],
)
def test_tasks_come_by_their_rates(tmp_path: Path, options: dict[str, Any], rates: list[float]) -> None:
    made = mixture(tmp_path, batch_size=1, **options)
    found = counts(sources(made, list(made.train_dataloader())))
    assert found == [round(320 * rate / sum(rates)) for rate in rates]


def test_rates_may_be_given(tmp_path: Path) -> None:
    given = {"copy": {"rate": 1}, "count": {"rate": 2.0}, "shout": {"rate": 1}}
    made = mixture(tmp_path, tasks(tmp_path, **given), batch_size=1)
    assert counts(sources(made, list(made.train_dataloader()))) == [80, 160, 80]


def test_all_samples_of_a_task_come_before_one_comes_again(tmp_path: Path) -> None:
    made = mixture(tmp_path, temperature=1e9)  # alike: 107 of each, 240, 60 and 20 there are
    samples = made.samples("fit")
    for name, first, count in (("copy", 0, 240), ("count", 107, 60), ("shout", 214, 20)):
        drawn = [(epoch, first + i) for epoch in range(3) for i in range(107)]
        texts = [sources(made, [samples.batch(np.array([id_]), epoch)])[0] for epoch, id_ in drawn]
        for start in range(0, len(texts) - count + 1, count):
            assert len(set(texts[start : start + count])) == count
        assert counts(texts)[list(SIZES).index(name)] == len(texts)


def test_a_batch_mixes_tasks_and_reads_what_the_prefix_says(tmp_path: Path) -> None:
    made = mixture(tmp_path, max_tokens=800)
    batches = list(made.train_dataloader())
    assert max(batch["input_ids"].numel() + batch["labels"].numel() for batch in batches) <= 800
    assert any(sum(count > 0 for count in counts(sources(made, [batch]))) > 1 for batch in batches)
    batch = made.samples("fit").batch(np.array([0, 319, -1]), 0)
    for row, name in enumerate(("copy", "shout")):
        text = sources(made, [{key: batch[key][row : row + 1] for key in ("input_ids", "attention_mask")}])[0]
        assert text.startswith(f"{name}: {name} ")
        labels = batch["labels"][row][batch["labels"][row] != -100].tolist()
        number = text.removeprefix(f"{name}: {name} ").split()[0]
        assert made.tokenizer.decode(labels) == f"{number} {name}"
    assert batch["attention_mask"][2].sum() == 0
    assert (batch["labels"][2] == -100).all()
    assert made.text_form.source("a", "count") == "count: a"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_loader_gives_the_batches_of_the_uninterrupted_one(tmp_path: Path, num_workers: int) -> None:
    def loader() -> Any:
        return mixture(tmp_path, max_tokens=900, temperature=3.0, num_workers=num_workers).train_dataloader()

    steps = len(loader())
    whole = take(loader(), steps + 5)
    for done in (steps + 1, 2)[num_workers // 2 :]:
        first = loader()
        take(first, done)
        again = loader()
        again.load_state_dict(json.loads(json.dumps(first.state_dict())))
        left = take(again, 4)
        assert all(torch.equal(a[key], b[key]) for a, b in zip(left, whole[done : done + 4], strict=True) for key in a)


def test_ranks_take_the_batches_in_turn_and_another_mixture_is_refused(tmp_path: Path) -> None:
    made = mixture(tmp_path, max_tokens=900)
    alone = [batch["sample_ids"].tolist() for batch in made.train_dataloader()]
    ranks = [[b["sample_ids"].tolist() for b in made._training(rank=rank, world_size=2)] for rank in range(2)]
    joined = list(itertools.chain.from_iterable(zip(*ranks, strict=True)))
    assert joined == alone[: len(joined)]
    with pytest.raises(ValueError, match="cannot be resumed on this data: its draws was"):
        mixture(tmp_path, max_tokens=900, temperature=2.0).train_dataloader().load_state_dict(made.state_dict())


def test_validation_goes_through_all_tasks(tmp_path: Path) -> None:
    made = mixture(tmp_path, validation_fraction=0.1, batch_size=4)
    loader = made.val_dataloader()
    assert not isinstance(loader, list)
    held = sources(made, list(loader))
    assert counts(held) == [24, 6, 2]
    assert not set(held) & set(sources(made, take(made.train_dataloader(), 200)))
    named = tasks(tmp_path, shout={"validation_files": str(tmp_path / "shout.jsonl")})
    loader = mixture(tmp_path, named, batch_size=4).val_dataloader()
    assert not isinstance(loader, list)
    assert counts(sources(made, list(loader))) == [0, 0, 20]
    assert mixture(tmp_path).val_dataloader() == []


def test_the_tokenizer_is_trained_on_all_tasks(tmp_path: Path) -> None:
    made = mixture(tmp_path, tokenizer_kind="t5", tokenizer_vocab_size=180)
    assert made.tokenizer.token_to_id("<extra_id_0>") == made.vocab_size - 1
    unknown = made.tokenizer.token_to_id("<unk>")
    assert all(unknown not in made.tokenizer.encode(f"{name}: {name}").ids for name in SIZES)


def test_draws_are_at_least_one() -> None:
    assert draws([1_000_000, 1], 1000, 1.0) == [1000, 1]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"count": {"rate": 0.0}}, {}, r"tasks\.count: rate 0 must be more than 0"),
        ({"count": {"rate": -1}}, {}, r"tasks\.count: rate -1 must be more than 0"),
        ({"count": {"rate": 2}}, {}, r"tasks\.copy: has no rate, but others have"),
        (
            {name: {"rate": 1} for name in SIZES},
            {"limit": 9},
            "limit 9 is of the tasks' samples, but the tasks",
        ),
        ({}, {"temperature": 0}, "temperature 0 must be more than 0"),
        ({}, {"limit": 0}, "limit 0 must be at least 1"),
        ({"shout": {"target_field": "goal"}}, {}, r"shout\.jsonl:1: there is no field 'goal'"),
    ],
)
def test_bad_mixtures_say_what_is_wrong(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mixture(tmp_path, tasks(tmp_path, **changes), **options)


def test_a_mixture_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tasks: a mixture needs at least one task"):
        mixture(tmp_path, {})
    with pytest.raises(ValueError, match="TaskMixture has no text to test on: set test_files of a task"):
        mixture(tmp_path).test_dataloader()
    with pytest.raises(ValueError, match="TaskMixture has no text to validate on: set validation_files of a task"):
        mixture(tmp_path, validation_fraction=0.0).samples("validate")


def test_the_files_of_fewer_samples_than_a_batch_are_named(tmp_path: Path) -> None:
    names = r"copy\.jsonl \S+count\.jsonl \S+shout\.jsonl"
    with pytest.raises(ValueError, match=rf"{names}: 320 samples to train on, fewer than one batch \(batch_size 400\)"):
        mixture(tmp_path, batch_size=400).train_dataloader()
