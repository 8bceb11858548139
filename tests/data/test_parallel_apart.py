"""Parallel text as sources and targets apart."""

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmlight.data import ParallelCorpus
from plmlight.data.sequences import SequenceSamples
from plmlight.text import TextForm, save_tokenizer, train_tokenizer

SOURCE = [f"the number {i} and {'very ' * (i % 7)}long" for i in range(300)]
TARGET = [f"die Zahl {i} und {'sehr ' * (i % 5)}lang" for i in range(300)]


def write(tmp_path: Path, source: list[str] = SOURCE, target: list[str] = TARGET) -> list[str]:
    (tmp_path / "a.en").write_text("".join(f"{line}\r\n" for line in source), newline="")
    with gzip.open(tmp_path / "a.de.gz", "wt") as handle:
        handle.write("\n".join(target))
    return [str(tmp_path / "a.en"), str(tmp_path / "a.de.gz")]


def corpus(tmp_path: Path, files: Any, **options: Any) -> ParallelCorpus:
    settings = {"form": "apart", "tokenizer_vocab_size": 200, "cache_folder": str(tmp_path / "cache")}
    return ParallelCorpus(files, **{**settings, **options})


def samples(made: ParallelCorpus, stage: Any = "fit") -> SequenceSamples:
    found = made.samples(stage)
    assert isinstance(found, SequenceSamples)
    return found


def texts(made: ParallelCorpus, stage: Any = "fit") -> list[tuple[str, str]]:
    """Both sides of all samples."""
    found = samples(made, stage)
    batch = found.batch(np.arange(len(found)), 0)
    target = made.target_tokenizer or made.tokenizer
    labels = batch["labels"].masked_fill(batch["labels"] == -100, made.pad_token_id).tolist()
    sources = made.tokenizer.decode_batch(batch["input_ids"].tolist())
    return list(zip(sources, target.decode_batch(labels), strict=True))


def test_source_and_target_stand_apart_in_their_frames(tmp_path: Path) -> None:
    made = corpus(tmp_path, write(tmp_path), validation_fraction=0.0)
    batch = samples(made).batch(np.array([3, 299, -1]), 7)
    assert {name: value.dtype for name, value in batch.items()} == dict.fromkeys(batch, torch.int64)
    assert int(batch["epoch"]) == 7
    for row, number in enumerate((3, 299)):
        source, target = (made.tokenizer.encode(text).ids for text in (SOURCE[number], TARGET[number]))
        assert source[-1] == target[-1] == made.tokenizer.token_to_id("</s>")
        assert batch["input_ids"][row, : len(source)].tolist() == source
        assert batch["attention_mask"][row].tolist() == [1] * len(source) + [0] * (
            batch["input_ids"].shape[1] - len(source)
        )
        assert (batch["input_ids"][row, len(source) :] == made.pad_token_id).all()
        assert batch["labels"][row, : len(target)].tolist() == target
        assert (batch["labels"][row, len(target) :] == -100).all()
    assert batch["attention_mask"][2].sum() == 0
    assert (batch["labels"][2] == -100).all()


def test_a_frame_that_opens_is_on_both_sides(tmp_path: Path) -> None:
    made = corpus(tmp_path, write(tmp_path), validation_fraction=0.0, tokenizer_kind="wordpiece")
    batch = samples(made).batch(np.array([3]), 0)
    assert batch["input_ids"][0].tolist() == made.tokenizer.encode(SOURCE[3]).ids
    assert batch["labels"][0].tolist() == made.tokenizer.encode(TARGET[3]).ids
    assert batch["labels"][0, 0] == made.tokenizer.token_to_id("[CLS]")


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "b.jsonl", "b.csv", "b.tsv.gz", "b.parquet", "b.jsonl.xz"])
def test_every_kind_of_file_gives_the_same_pairs(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pyarrow")
    import lzma

    import pyarrow
    import pyarrow.parquet

    records = [{"id": i, "en": a, "de": b} for i, (a, b) in enumerate(zip(SOURCE, TARGET, strict=True))]
    path, options = tmp_path / name, {} if name.startswith("a") else {"source_field": "en", "target_field": "de"}
    if name.startswith("a"):
        path.write_text("".join(f"{a}\t{b}\tCC-BY\r\n" for a, b in zip(SOURCE, TARGET, strict=True)), newline="")
    elif name == "b.parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
    elif "jsonl" in name:
        content = "".join(json.dumps(record) + "\r\n" for record in records).encode()
        path.write_bytes(lzma.compress(content) if name.endswith("xz") else content)
    else:
        separator = "," if name == "b.csv" else "\t"
        rows = [["id", "en", "de"], *([str(value) for value in record.values()] for record in records)]
        content = "".join(separator.join(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    made = corpus(tmp_path, str(path), validation_fraction=0.0, **options)
    assert texts(made) == list(zip(SOURCE, TARGET, strict=True))


def test_several_files_with_fields_are_one_text(tmp_path: Path) -> None:
    for part in range(2):
        lines = [json.dumps({"source": f"a {i}", "target": f"b {i}"}) for i in range(part * 50, part * 50 + 50)]
        (tmp_path / f"{part}.jsonl").write_text("\n".join(lines))
    made = corpus(tmp_path, str(tmp_path / "*.jsonl"), tokenizer_vocab_size=60, validation_fraction=0.0)
    assert texts(made) == [(f"a {i}", f"b {i}") for i in range(100)]


def test_sides_are_exchanged(tmp_path: Path) -> None:
    made = corpus(tmp_path, write(tmp_path), reverse=True, validation_fraction=0.0)
    assert texts(made) == list(zip(TARGET, SOURCE, strict=True))


def test_a_prefix_stands_before_each_source(tmp_path: Path) -> None:
    made = corpus(tmp_path, write(tmp_path), prefix="translate: ", languages=("en", "de"), validation_fraction=0.0)
    assert texts(made)[5] == (f"translate: {SOURCE[5]}", TARGET[5])
    assert made.text_form == TextForm({"en-de": "translate: "})
    ids = samples(made).batch(np.array([5]), 0)["input_ids"][0].tolist()
    assert ids == made.tokenizer.encode(made.text_form.source(SOURCE[5])).ids
    assert corpus(tmp_path, write(tmp_path)).text_form == TextForm()


def test_the_target_may_have_a_vocabulary_of_its_own(tmp_path: Path) -> None:
    files = write(tmp_path)
    made = corpus(
        tmp_path,
        files,
        target_tokenizer="own",
        target_tokenizer_kind="bpe",
        target_tokenizer_vocab_size=50,
        validation_fraction=0.0,
    )
    assert made.target_tokenizer is not None
    assert made.target_vocab_size == made.target_tokenizer.get_vocab_size() <= 50 < made.vocab_size
    assert made.target_tokenizer.encode("Zahl").ids != made.tokenizer.encode("Zahl").ids
    batch = samples(made).batch(np.array([8]), 0)
    assert batch["input_ids"][0].tolist() == made.tokenizer.encode(SOURCE[8]).ids
    assert batch["labels"][0].tolist() == [*made.target_tokenizer.encode(TARGET[8]).ids, 0]
    shared = corpus(tmp_path, files)
    assert (shared.target_tokenizer, shared.target_vocab_size) == (None, None)


def test_tokenizers_are_found_by_their_paths(tmp_path: Path) -> None:
    for side, text in (("en", SOURCE), ("de", TARGET)):
        save_tokenizer(train_tokenizer(text, "t5", 180), tmp_path / side)
    made = corpus(tmp_path, write(tmp_path), tokenizer=str(tmp_path / "en"), target_tokenizer=str(tmp_path / "de"))
    assert made.target_tokenizer is not None
    assert made.target_tokenizer.to_str() == train_tokenizer(TARGET, "t5", 180).to_str()


def test_pairs_with_one_source_are_held_out_together(tmp_path: Path) -> None:
    source = [f"source {i // 4}" for i in range(400)]
    made = corpus(tmp_path, write(tmp_path, source, [f"target {i}" for i in range(400)]), validation_fraction=0.05)
    fit, validate = ({source for source, _ in texts(made, stage)} for stage in ("fit", "validate"))
    assert not fit & validate
    assert len(validate) == 5
    assert len(samples(made, "validate")) == 20
    made.seed = 3
    assert {source for source, _ in texts(made, "validate")} == validate
    back = corpus(tmp_path, write(tmp_path, source, [f"target {i}" for i in range(400)]), reverse=True)
    assert not {target for _, target in texts(back)} & {target for _, target in texts(back, "validate")}


def test_what_is_too_long_is_cut_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("plmlight.data.sequence_corpus.rank_zero_info", said.append)
    made = corpus(tmp_path, write(tmp_path), max_length=12, max_target_length=15, validation_fraction=0.0)
    whole = [[len(made.tokenizer.encode(text).ids) for text in side] for side in (SOURCE, TARGET)]
    found = samples(made)
    lengths = found.lengths(np.arange(300), 0)
    assert lengths.tolist() == np.stack([np.minimum(whole[0], 12), np.minimum(whole[1], 15)], 1).tolist()
    longest = int(np.argmax(whole[0]))
    ids = found.batch(np.array([longest]), 0)["input_ids"][0].tolist()
    assert ids == [*made.tokenizer.encode(SOURCE[longest]).ids[:11], 1]
    samples(made)
    counts = [sum(length > limit for length in side) for side, limit in zip(whole, (12, 15), strict=True)]
    assert said == [
        f"{tmp_path}/a.en {tmp_path}/a.de.gz: of 300 pairs to fit on {counts[0]} sources are longer than 12 and "
        f"{counts[1]} targets are longer than 15 tokens: they are cut"
    ]


def test_what_is_too_long_is_left_out_of_training_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("plmlight.data.sequence_corpus.rank_zero_info", said.append)
    files = write(tmp_path)
    made = corpus(tmp_path, files, too_long="drop", validation_fraction=0.0, test_files=files)
    lengths = [len(made.tokenizer.encode(text).ids) for text in SOURCE]
    made.max_length = int(np.median(lengths))
    kept = [pair for *pair, n in zip(SOURCE, TARGET, lengths, strict=True) if n <= made.max_length]
    assert 0 < len(kept) < 300
    assert [list(pair) for pair in texts(made)] == kept
    assert len(samples(made, "test")) == 300
    assert "their pairs are left out" in said[0]
    assert "they are cut" in said[1]


def test_what_is_too_long_may_be_refused(tmp_path: Path) -> None:
    made = corpus(tmp_path, write(tmp_path), max_target_length=15, too_long="error", validation_fraction=0.0)
    lengths = [len(made.tokenizer.encode(text).ids) for text in TARGET]
    first = next(place for place, length in enumerate(lengths) if length > 15)
    message = rf"a.de.gz: the target of pair {first + 1} has {lengths[first]} tokens, more than max_target_length 15"
    with pytest.raises(ValueError, match=message):
        made.train_dataloader()
    dropping: dict[str, Any] = {"too_long": "drop", "validation_fraction": 0.0}
    with pytest.raises(ValueError, match="of 300 pairs 300 targets are longer than 3 tokens, so that none is left"):
        corpus(tmp_path, write(tmp_path), max_target_length=3, **dropping).train_dataloader()


def test_batches_keep_the_budget_on_both_sides_with_little_padding(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [
        (int(n), max(1, int(n * f))) for n, f in zip(rng.integers(2, 40, 3000), rng.normal(1, 0.2, 3000), strict=True)
    ]
    files = write(tmp_path, ["a " * n for n, _ in pairs], ["b " * n for _, n in pairs])
    made = corpus(tmp_path, files, tokenizer_kind="byte", max_tokens=2000, validation_fraction=0.0, test_files=files)
    for loader in (made.train_dataloader(), made.test_dataloader()):
        batches = list(loader)
        assert len(batches) == len(loader)
        cells = [batch["input_ids"].numel() + batch["labels"].numel() for batch in batches]
        real = sum(int(batch["attention_mask"].sum() + (batch["labels"] >= 0).sum()) for batch in batches)
        assert max(cells) <= 2000
        assert real / sum(cells) > 0.85
        ids = [int(id_) for batch in batches for id_ in batch["sample_ids"]]
        assert len(set(ids)) == len(ids) >= 0.97 * 3000


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_loader_gives_the_batches_of_the_uninterrupted_one(tmp_path: Path, num_workers: int) -> None:
    def loader() -> Any:
        made = corpus(tmp_path, write(tmp_path), max_tokens=400, num_workers=num_workers, max_length=20)
        return made.train_dataloader()

    def take(source: Any, count: int) -> list[dict[str, torch.Tensor]]:
        return list(itertools.islice(itertools.chain.from_iterable(source for _ in itertools.count()), count))

    first = loader()
    whole = take(loader(), len(first) + 6)
    for done in (1, len(first) - 1, len(first) + 2)[num_workers:]:
        first = loader()
        take(first, done)
        again = loader()
        again.load_state_dict(json.loads(json.dumps(first.state_dict())))
        left = take(again, 4)
        assert all(torch.equal(a[key], b[key]) for a, b in zip(left, whole[done : done + 4], strict=True) for key in a)
    other = corpus(tmp_path, write(tmp_path), max_tokens=400, max_length=21).train_dataloader()
    with pytest.raises(ValueError, match="its max_length was 20, here it is 21"):
        other.load_state_dict(first.state_dict())


def test_ranks_take_the_batches_in_turn(tmp_path: Path) -> None:
    made = corpus(tmp_path, write(tmp_path), max_tokens=400, test_files=write(tmp_path))
    alone = [batch["sample_ids"].tolist() for batch in made.train_dataloader()]
    ranks = [[b["sample_ids"].tolist() for b in made._training(rank=rank, world_size=2)] for rank in range(2)]
    joined = list(itertools.chain.from_iterable(zip(*ranks, strict=True)))
    assert joined == alone[: len(joined)]
    tested = [list(made._evaluation("test", rank=rank, world_size=2)) for rank in range(2)]
    assert len(tested[0]) == len(tested[1])
    seen = [int(id_) for batches in tested for batch in batches for id_ in batch["sample_ids"]]
    assert sorted(id_ for id_ in seen if id_ >= 0) == list(range(300))


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        (
            "x.jsonl",
            '{"sorce": "a", "target": "b"}',
            {},
            r"x\.jsonl:1: there is no field 'source'; did you mean 'sorce'",
        ),
        (
            "x.jsonl",
            '{"a": "x", "summary": "y"}\r\n{"a": "x", "sumary": "y"}',
            {"source_field": "a", "target_field": "summary"},
            r"x\.jsonl:2: there is no field 'summary'; did you mean 'sumary'",
        ),
        ("x.jsonl", '{"source": "a", "target": " "}', {}, r"x\.jsonl:1: the target is empty"),
        ("x.jsonl", '{"source": ["a"], "target": "b"}', {}, r"x\.jsonl:1: field 'source' is list, expected a string"),
        ("x.csv", "source,target\na,b\n,b\n", {}, r"x\.csv:3: the source is empty"),
        ("x.csv", "source,goal\na,b\n", {}, r"x\.csv:1: there is no column 'target'"),
        ("x.tsv", "a\tb\nc\n", {}, r"x\.tsv:2: has one column, expected source, tab, target"),
        ("x.tsv", "a\tb\n\tb\n", {"reverse": True}, r"x\.tsv:2: the target is empty"),
        ("x.txt", "a\tb\n", {"source_field": "a"}, r"x\.txt: is read by lines and has no fields"),
        ("x.txt", "\n\n", {"tokenizer_kind": "byte"}, "there is no text to train a tokenizer on"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, content: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / name).write_text(content, newline="")
    with pytest.raises(ValueError, match=message):
        corpus(tmp_path, str(tmp_path / name), **options)


def test_lines_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.en has 3 lines, but .*a\.de\.gz has 2: line by line"):
        corpus(tmp_path, write(tmp_path, ["a", "b", "c"], ["a", "b"]))
    with pytest.raises(ValueError, match=r"a\.de\.gz:2: is empty, but .*a\.en:2 is not"):
        corpus(tmp_path, write(tmp_path, ["a", "b", "c"], ["a", "", "c"]))
    with pytest.raises(ValueError, match="the target of pair 2 has nothing but control characters"):
        corpus(tmp_path, write(tmp_path, ["a", "b"], ["a", "\x01"]), tokenizer_kind="wordpiece").samples("fit")
    (tmp_path / "x.jsonl").write_text('{"source": "a", "target": "b"}')
    with pytest.raises(ValueError, match=r"a\.en: has no fields, as the other files have"):
        corpus(tmp_path, [str(tmp_path / "x.jsonl"), write(tmp_path)[0]])


def test_bad_settings_say_what_is_wrong(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    files = write(tmp_path)
    Tokenizer(models.BPE({"a": 0}, [])).save(str(tmp_path / "endless.json"))
    with pytest.raises(ValueError, match="the tokenizer has no token that ends a text"):
        corpus(tmp_path, files, tokenizer=str(tmp_path / "endless.json"))
    with pytest.raises(ValueError, match="max_length 1 has no room for text: at least 2"):
        corpus(tmp_path, files, max_length=1).train_dataloader()
    with pytest.raises(ValueError, match="ParallelCorpus has no text to test on: set test_files"):
        corpus(tmp_path, files).test_dataloader()
    with pytest.raises(ValueError, match="target_tokenizer 'own': joined, both sides share one; set form to apart"):
        corpus(tmp_path, files, form="joined", target_tokenizer="own")
    with pytest.raises(ValueError, match="nothing is left to fit on; all pairs belong together"):
        corpus(tmp_path, write(tmp_path, ["a"] * 4, ["b"] * 4), tokenizer_vocab_size=10).train_dataloader()
