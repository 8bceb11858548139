import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmlight import runtime
from tests.runtime.bundles import seal
from tests.runtime.encoders import small_embedder, small_encoder, wordpiece
from tests.runtime.test_generation import HEAVY

TEXTS = ["Paris is [MASK] of France.", "[MASK]", "she [MASK] the [MASK] and went into the garden"]


def test_masks_get_the_tokens_and_probabilities_of_torch(filling_bundle: Path) -> None:
    task = small_encoder(pairs=True)
    mask = wordpiece().token_to_id("[MASK]")
    found = runtime.load(filling_bundle).fill(TEXTS, top_k=7, batch_size=2)
    assert [len(masks) for masks in found] == [1, 1, 2]
    for text, masks in zip(TEXTS, found, strict=True):
        ids = torch.tensor([wordpiece().encode(text).ids])
        with torch.inference_mode():
            scores = task(ids)["logits"][0, ids[0] == mask].softmax(-1)
        for row, answers in zip(scores, masks, strict=True):
            best = row.topk(7)
            assert [each.token_id for each in answers] == best.indices.tolist()
            assert [each.score for each in answers] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_texts_get_the_vectors_of_torch_in_their_order(embedding_bundle: Path) -> None:
    task = small_embedder(normalise=True)
    texts = ["the garden", "Paris is the capital of France", "", "she opened the door " * 30]
    found = runtime.load(embedding_bundle).embed(texts, batch_size=2)
    assert (found.shape, found.dtype) == ((4, 24), np.float32)
    for text, vector in zip(texts, found, strict=True):
        ids = wordpiece().encode(text).ids
        ids = ids if len(ids) <= 37 else [*ids[:36], ids[-1]]
        with torch.inference_mode():
            expected = task(torch.tensor([ids]))["sentence_embedding"][0].numpy()
        assert np.abs(vector - expected).max() < 1e-5
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(4), abs=1e-5)


def test_the_runtime_loads_nothing_heavy(filling_bundle: Path, embedding_bundle: Path) -> None:
    program = f"""
import sys
from plmlight import runtime
assert runtime.load({str(filling_bundle)!r}).fill(["a [MASK]"])
assert len(runtime.load({str(embedding_bundle)!r}).embed(["a", "b"])) == 2
assert not any(each.difference for each in runtime.replay(runtime.load({str(filling_bundle)!r})))
loaded = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json", "manifest.json", "golden.jsonl"])
def test_a_changed_byte_is_refused(name: str, filling_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(filling_bundle, tmp_path / "copy"))
    content = bytearray((copy / name).read_bytes())
    content[content.rindex(b"e") if name.endswith("json") else len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: changed since the verdict: its SHA-256 differs"):
        runtime.load(copy)


def with_golden(bundle: Path, copy: Path, change: Any) -> list[runtime.Replay]:
    """Replays a bundle whose first golden request was changed."""
    folder = Path(shutil.copytree(bundle, copy))
    lines = (folder / "golden.jsonl").read_text().splitlines()
    record = json.loads(lines[0])
    change(record)
    (folder / "golden.jsonl").write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n")
    seal(folder)
    return list(runtime.replay(runtime.load(folder)))


def set_score(record: dict[str, Any], score: float) -> None:
    record["masks"][0][0]["score"] += score


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: set_score(record, 0.0009), ""),
        (lambda record: set_score(record, 0.0011), "mask 0: token"),
        (lambda record: record["masks"][0][0].update(token_id=3), "mask 0: token 3 scores"),
        (lambda record: record.update(token_ids=[1]), "the tokenizer gives"),
    ],
    ids=["within the tolerance", "beyond it", "another token", "other tokens"],
)
def test_golden_masks_are_compared_with_a_tolerance(
    change: Any, message: str, filling_bundle: Path, tmp_path: Path
) -> None:
    first, *others = with_golden(filling_bundle, tmp_path / "copy", change)
    assert first.difference.startswith(message)
    assert bool(first.difference) == bool(message)
    assert not any(other.difference for other in others)


@pytest.mark.parametrize(("amount", "same"), [(0.0009, True), (0.0011, False)])
def test_golden_vectors_are_compared_with_a_tolerance(
    amount: float, same: bool, embedding_bundle: Path, tmp_path: Path
) -> None:
    def change(record: dict[str, Any]) -> None:
        record["embedding"][0] += amount

    assert (with_golden(embedding_bundle, tmp_path / "copy", change)[0].difference == "") == same


def test_a_golden_request_that_can_not_be_read_is_an_error(filling_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"golden.jsonl:1: not a golden request: 'tolerance'"):
        with_golden(filling_bundle, tmp_path / "copy", lambda record: record.pop("tolerance"))
