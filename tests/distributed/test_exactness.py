import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from plmlight.tasks import task_from_checkpoint
from tests.distributed import ragged_run

pytestmark = pytest.mark.filterwarnings("ignore")


def assert_equal(got: dict[str, Any], expected: dict[str, Any], weights: float = 1e-6) -> None:
    """Gradients within 1e-6 of the largest, step by step; losses and weights likewise."""
    assert len(got["gradients"]) == len(expected["gradients"]) == ragged_run.STEPS
    for mine, theirs in zip(got["gradients"], expected["gradients"], strict=True):
        assert mine.keys() == theirs.keys()
        largest = max(float(g.abs().max()) for g in theirs.values())
        assert max(difference(mine[name], theirs[name]) for name in mine) <= 1e-6 * largest
    for name in ("train_loss", "val_loss"):
        assert float(got[name]) == pytest.approx(float(expected[name]), rel=1e-6)
    assert max(difference(got["weights"][n], w) for n, w in expected["weights"].items()) <= weights


def difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def test_eight_micro_batches_of_one_equal_one_of_eight() -> None:
    assert_equal(ragged_run.run(1, 8), ragged_run.run(8, 1))


def test_a_mean_of_means_would_be_seen() -> None:
    """The rows are ragged enough that the usual averaging fails these tests."""
    whole = ragged_run.run(8, 1)
    shorter = ragged_run.run(4, 1)
    largest = max(float(g.abs().max()) for g in whole["gradients"][0].values())
    off = max(difference(shorter["gradients"][0][n], g) for n, g in whole["gradients"][0].items())
    assert off > 1e-3 * largest


@pytest.fixture(scope="module", params=["ddp", "fsdp2"])
def two_ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same runs on two processes."""
    out = tmp_path_factory.mktemp(request.param) / "results.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    command += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
    script = Path(ragged_run.__file__)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[2])}
    done = subprocess.run(
        [*command, str(script), request.param, str(out)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results: dict[str, Any] = torch.load(out, weights_only=True)
    return {**results, "saved": out.with_name("saved.ckpt")}


def test_two_ranks_equal_one_with_twice_the_batch(two_ranks: dict[str, Any]) -> None:
    assert_equal(two_ranks["plain"], ragged_run.run(8, 1))


def test_two_ranks_with_accumulation_equal_one_batch(two_ranks: dict[str, Any]) -> None:
    assert_equal(two_ranks["accumulated"], ragged_run.run(8, 1))


def test_texts_to_texts_are_learned_and_scored_as_on_one_rank(two_ranks: dict[str, Any]) -> None:
    """Targets of any length, accumulated; in validation one rank has nothing to write while the other has."""
    expected = ragged_run.run(8, 1, seq2seq=True)
    assert_equal(two_ranks["seq2seq"], expected)
    scores = [name for name in expected if name.startswith("val_") and name not in ("val_loss", "val_perplexity")]
    assert set(scores) == {"val_bleu", "val_chrf", "val_distinct_1", "val_distinct_2"}
    for name in scores:
        assert float(two_ranks["seq2seq"][name]) == pytest.approx(float(expected[name]))
    assert float(expected["val_chrf"]) > 0


def test_the_checkpoint_of_two_ranks_is_read_on_one(two_ranks: dict[str, Any]) -> None:
    task = task_from_checkpoint(two_ranks["saved"])
    for name, parameter in task.named_parameters():
        assert torch.equal(parameter, two_ranks["plain"]["weights"][name])


def test_clipping_is_the_same_on_two_ranks(two_ranks: dict[str, Any]) -> None:
    expected = ragged_run.run(8, 1, clip=0.05)
    assert_equal(two_ranks["clipped"], expected)
    norm = torch.stack([g.norm() for g in expected["gradients"][0].values()]).norm()
    assert float(norm) == pytest.approx(0.05, rel=1e-4)


def test_muon_is_the_same_on_two_ranks(two_ranks: dict[str, Any]) -> None:
    expected = ragged_run.run(8, 1, muon=True)
    # AdamW turns the rounding noise of zero gradients into steps: only the matrices of Muon are compared.
    names = [n for n in expected["weights"] if n.endswith("weight") and (".qkv." in n or ".up." in n or ".out." in n)]
    assert names
    for name in names:
        assert difference(two_ranks["muon"]["weights"][name], expected["weights"][name]) < 1e-4


def test_word_vectors_of_two_ranks_are_the_mean_of_what_each_learned(two_ranks: dict[str, Any]) -> None:
    if "words" not in two_ranks:
        pytest.skip("tables of words are not cut into shards")
    alone = [ragged_run.run_words(rank) for rank in (0, 1)]
    assert len(alone[0]) == len(two_ranks["words"]) == 8
    assert difference(alone[0]["network.input_table.weight"], alone[1]["network.input_table.weight"]) > 1e-3
    for name, mean in two_ranks["words"].items():
        assert torch.allclose(mean, (alone[0][name] + alone[1][name]) / 2, rtol=1e-6, atol=1e-7), name
