import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plmlight import BERT, MaskedLM
from plmlight.heads import LMHead
from plmlight.nn import build, config_of
from plmlight.optim import AdamW, Muon, OptimizerFactory
from plmlight.optim.factory import parameter_kinds
from plmlight.optim.orthogonal import Orthogonal, orthogonalise


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.qkv = nn.Linear(8, 24)
        self.up = nn.Linear(24, 8)
        self.norm = nn.LayerNorm(8)
        self.head = LMHead(8, 11, weight=self.table.weight)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.norm(self.up(self.qkv(self.table(ids)))))
        return out


def train(model: Tiny, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for step in range(steps):
        ids = torch.arange(step, step + 8) % 11
        loss = nn.functional.cross_entropy(model(ids), ids.roll(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def names(model: nn.Module, group: dict[str, Any]) -> set[str]:
    return {name for name, p in model.named_parameters() if any(p is q for q in group["params"])}


def test_kinds_list_a_tied_weight_once() -> None:
    kinds = {kind: [name for name, _ in listed] for kind, listed in parameter_kinds(Tiny()).items()}
    assert kinds["tables"] == ["table.weight"]
    assert kinds["matrices"] == ["qkv.weight", "up.weight"]
    assert sorted(kinds["vectors"]) == ["norm.bias", "norm.weight", "qkv.bias", "up.bias"]


@pytest.mark.parametrize("decay_embeddings", [True, False])
def test_adamw_decays_matrices_and_embeddings_by_choice(decay_embeddings: bool) -> None:
    model = Tiny()
    optimizer = AdamW(weight_decay=0.3, decay_embeddings=decay_embeddings)(model)
    decayed = set().union(*(names(model, g) for g in optimizer.param_groups if g["weight_decay"] == 0.3))
    assert decayed == {"qkv.weight", "up.weight"} | ({"table.weight"} if decay_embeddings else set())
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(model.parameters()))


def test_adamw_equals_torch() -> None:
    model = Tiny()
    other = copy.deepcopy(model)
    train(model, AdamW(lr=0.01, weight_decay=0.0)(model))
    train(other, torch.optim.AdamW(other.parameters(), lr=0.01, betas=(0.9, 0.95), weight_decay=0.0))
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_adamw_is_fused() -> None:
    assert AdamW()(Tiny()).param_groups[0]["fused"] is True


@pytest.mark.parametrize("shape", [(16, 16), (64, 16), (16, 48)])
def test_orthogonalise_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)).float())
    assert values.min() > 0.3
    assert values.max() < 1.3


@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
def test_muon_equals_torch_up_to_its_bfloat16(adjust: str) -> None:
    ours, theirs = nn.Parameter(torch.randn(24, 8)), nn.Parameter(torch.empty(24, 8))
    theirs.data.copy_(ours.data)
    mine = Orthogonal([ours], lr=0.1, weight_decay=0.2, match_rms=adjust == "match_rms_adamw")
    reference = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.2, adjust_lr_fn=adjust)
    for _ in range(3):
        theirs.grad = torch.randn(24, 8)
        ours.grad = theirs.grad.clone()
        mine.step()
        reference.step()
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)


def test_packed_parts_are_orthogonalised_alone() -> None:
    packed = nn.Parameter(torch.randn(24, 8))
    single = [nn.Parameter(part.clone()) for part in packed.detach().chunk(3)]
    packed.grad = torch.randn(24, 8)
    for part, grad in zip(single, packed.grad.chunk(3), strict=True):
        part.grad = grad.clone()
    Orthogonal([{"params": [packed], "parts": 3}]).step()
    Orthogonal(single).step()
    torch.testing.assert_close(packed.detach(), torch.cat([p.detach() for p in single]))


def test_relative_steps_are_as_large_as_the_parts_they_change() -> None:
    torch.manual_seed(0)
    sizes = (1.0, 0.01, 1e-6)
    packed = nn.Parameter(torch.cat([torch.randn(8, 8) * size for size in sizes]))
    grad = torch.randn(24, 8)

    def step(relative: bool) -> Tensor:
        start = nn.Parameter(packed.detach().clone())
        start.grad = grad.clone()
        Orthogonal([{"params": [start], "parts": 3}], lr=0.1, weight_decay=0.0, relative=relative).step()
        change: Tensor = (start - packed).detach().unflatten(0, (3, 8))
        return change

    changes = zip(packed.detach().unflatten(0, (3, 8)), step(False), step(True), strict=True)
    for part, absolute, relative in changes:
        size = max(part.square().mean().sqrt().item(), 1e-3)
        torch.testing.assert_close(relative, absolute * size, rtol=1e-2, atol=1e-6)
    with pytest.raises(ValueError, match="give the rest its adamw_lr"):
        Muon(relative=True)


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    model = Tiny()
    optimizer = Muon(lr=0.01, adamw_lr=0.002)(model)
    assert {frozenset(names(model, g)): g["lr"] for g in optimizer.param_groups} == {
        frozenset({"qkv.weight"}): 0.01,
        frozenset({"up.weight"}): 0.01,
        frozenset({"table.weight"}): 0.002,
        frozenset({"norm.bias", "norm.weight", "qkv.bias", "up.bias"}): 0.002,
    }


@pytest.mark.parametrize("model", [nn.Embedding(5, 3), nn.Linear(4, 4, bias=False)])
def test_muon_does_with_a_model_that_has_only_one_kind(model: nn.Module) -> None:
    optimizer = Muon()(model)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


@pytest.mark.parametrize("factory", [AdamW(lr=0.01), Muon(lr=0.01)])
def test_state_round_trip_continues_bit_for_bit(factory: OptimizerFactory) -> None:
    straight = Tiny()
    stopped = copy.deepcopy(straight)
    optimizer = factory(straight)
    train(straight, optimizer)
    train(straight, optimizer)
    first = factory(stopped)
    train(stopped, first)
    second = factory(stopped)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(stopped, second)
    for one, other in zip(straight.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_schedule_reaches_every_part_after_loading() -> None:
    model = Tiny()
    optimizer = Muon()(model)
    train(model, optimizer, 1)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    before = [p.detach().clone() for p in model.parameters()]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(model, optimizer, 1)
    assert all(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))


def test_factory_is_rebuilt_from_its_config() -> None:
    config = config_of(Muon(lr=0.5, betas=(0.8, 0.9)))
    assert config["class_path"] == "plmlight.optim.Muon"
    rebuilt = build(config)
    assert (rebuilt.lr, tuple(rebuilt.betas)) == (0.5, (0.8, 0.9))


@pytest.mark.parametrize("make", [AdamW, Muon])
def test_layers_further_down_learn_more_slowly(make: Any) -> None:
    task = MaskedLM(BERT(31, d_model=12, num_layers=2, num_heads=3))
    optimizer = make(lr=0.1, layer_decay=0.5)(task)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(task.parameters()))
    expected = {"head.": 0.1, "stack.layers.1.": 0.05, "stack.layers.0.": 0.025, "embeddings.": 0.0125}
    for name, parameter in task.named_parameters():
        (rate,) = [rate for part, rate in expected.items() if name.removeprefix("network.").startswith(part)]
        assert rates[id(parameter)] == pytest.approx(rate), name
    decayed = {
        name
        for name, p in task.named_parameters()
        for g in optimizer.param_groups
        if g["weight_decay"]
        for q in g["params"]
        if p is q
    }
    plain = AdamW()(task)
    assert decayed == set().union(*(names(task, group) for group in plain.param_groups if group["weight_decay"]))


@pytest.mark.parametrize("make", [AdamW, Muon])
def test_a_decay_that_is_none(make: Any) -> None:
    for wrong in (0.0, 1.1):
        with pytest.raises(ValueError, match=f"layer_decay {wrong}: expected"):
            make(layer_decay=wrong)
