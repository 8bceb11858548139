from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import plmlight
from plmlight import BERT, GPT, LSTMLM, T5, CausalLM, LoRA, MaskedLM, PrefixTuning, PromptTuning, Seq2Seq, XLNet
from plmlight.adapters import Adapter
from plmlight.loading import write_checkpoint
from plmlight.nn import LowRankLinear, Network, merge_low_rank
from plmlight.tasks import (
    LabelledTask,
    QuestionAnswering,
    RelationExtraction,
    SemanticRoleLabelling,
    TextClassification,
    TokenClassification,
    task_from_checkpoint,
)
from plmlight.text import train_tokenizer

V = 61


def bert(**given: Any) -> BERT:
    return BERT(V, d_model=24, num_layers=2, num_heads=3, max_length=16, dropout=0.0, **given)


def gpt() -> GPT:
    return GPT(V, d_model=24, num_layers=2, num_heads=3, max_length=16, dropout=0.0)


def t5() -> T5:
    return T5(V, d_model=24, num_layers=2, num_heads=3, dropout=0.0)


def classifier(adapter: Adapter | None = None) -> TextClassification:
    return TextClassification(bert(), ["a", "b"], head_dropout=0.0, adapter=adapter)


def ids(rows: int = 2, length: int = 7) -> Tensor:
    return torch.randint(1, V, (rows, length), generator=torch.Generator().manual_seed(5))


def padding() -> Tensor:
    return torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]])


def learned(task: nn.Module) -> None:
    """Gives what is trained values that are not those of the start."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in task.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)


def test_a_linear_is_the_formula_of_the_paper() -> None:
    linear = nn.Linear(5, 12)
    adapted = LowRankLinear(linear, {"query": (0, 4), "value": (8, 12)}, rank=3, scale=0.5, dropout=0.0)
    learned(adapted.low_rank)
    x = torch.randn(2, 5)
    expected = linear(x)
    for name, rows in (("query", slice(0, 4)), ("value", slice(8, 12))):
        a, b = (adapted.low_rank.get_parameter(f"{name}.{which}") for which in "ab")
        expected[:, rows] += 0.5 * (b @ (a @ x.T)).T
    torch.testing.assert_close(adapted(x), expected, atol=1e-6, rtol=0)


def test_only_the_input_of_a_difference_is_dropped() -> None:
    adapted = LowRankLinear(nn.Linear(50, 4), {"x": (0, 4)}, rank=2, scale=1.0, dropout=0.5)
    x = torch.randn(1, 50)
    assert torch.equal(adapted(x), adapted(x)), "the differences are nothing at the start"
    learned(adapted.low_rank)
    assert not torch.equal(adapted(x), adapted(x))
    assert torch.equal(adapted.eval()(x), adapted(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda adapter: MaskedLM(bert(), adapter=adapter),
        lambda adapter: CausalLM(gpt(), adapter=adapter),
        lambda adapter: Seq2Seq(t5(), adapter=adapter),
        lambda adapter: MaskedLM(XLNet(V, d_model=24, num_layers=2, num_heads=3), adapter=adapter),
    ],
    ids=["bert", "gpt", "t5", "xlnet"],
)
def test_lora_changes_nothing_at_the_start_and_merges_to_the_same(make: Any) -> None:
    plain, adapted = make(None).eval(), make(LoRA(rank=2, targets=["*"])).eval()
    adapted.load_state_dict(plain.state_dict(), strict=False)
    given = {"input_ids": ids(), "attention_mask": padding()}
    if isinstance(adapted, Seq2Seq):
        given["decoder_input_ids"] = ids(2, 4)
    torch.testing.assert_close(adapted(**given)["logits"], plain(**given)["logits"], atol=1e-6, rtol=0)
    learned(adapted)
    found = adapted(**given)["logits"]
    assert not torch.allclose(found, plain(**given)["logits"], atol=1e-3)
    merged = adapted.merged()
    assert merged.adapter is None
    assert merged.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(merged(**given)["logits"], found, atol=1e-5, rtol=0)
    assert all(parameter.requires_grad for parameter in merged.parameters())


@pytest.mark.parametrize("adapter", [LoRA(rank=2), PrefixTuning(3), PromptTuning(3)], ids=["lora", "prefix", "prompt"])
def test_only_the_adapter_and_the_head_are_trained(adapter: Adapter) -> None:
    task = classifier(adapter)
    learned(task)  # the gradient of A is nothing while B is
    task(ids())["logits"].square().sum().backward()
    trained = {name for name, parameter in task.named_parameters() if parameter.grad is not None}
    assert trained == {
        name
        for name, _ in task.named_parameters()
        if name.startswith("head.") or any(part in name for part in ("low_rank", "prefix", ".prompt"))
    }
    optimiser = task.optimizer(task)
    held = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in task.parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    "make",
    [
        lambda adapter: QuestionAnswering(bert(), adapter=adapter),
        lambda adapter: RelationExtraction(bert(), ["a", "b"], [3, 4, 5, 6], pooling="mean", adapter=adapter),
        lambda adapter: SemanticRoleLabelling(bert(), ["O", "B-x", "I-x"], [3, 4], adapter=adapter),
        lambda adapter: TokenClassification(bert(), ["O", "B-x", "I-x"], adapter=adapter),
    ],
    ids=["answers", "relations", "roles", "tags"],
)
def test_tasks_with_labels_train_the_adapter_and_their_heads(make: Any, tmp_path: Path) -> None:
    task: LabelledTask = make(LoRA(rank=2))
    before = {name: parameter.detach().clone() for name, parameter in task.named_parameters()}
    optimiser = task.optimizer(task)
    for _ in range(2):  # A has no gradient while B is nothing
        optimiser.zero_grad()
        sum((values - 1).square().mean() for values in task(ids()).values()).backward()
        optimiser.step()
    changed = {name for name, parameter in task.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {name for name in before if name.startswith("head.") or "low_rank" in name}
    write_checkpoint(task.eval(), tmp_path / "x.ckpt")
    again = task_from_checkpoint(tmp_path / "x.ckpt")
    assert isinstance(again.adapter, LoRA)
    for name, values in task(ids()).items():
        assert torch.equal(again(ids())[name], values)


def test_query_and_value_alone_differ_by_default() -> None:
    task = classifier(LoRA(rank=2))
    layer = task.network.get_submodule("stack.layers.0.attention.qkv")
    assert isinstance(layer, LowRankLinear)
    learned(task)
    difference = layer.difference().view(3, 24, 24)
    assert difference[1].abs().max() == 0
    assert min(float(difference[place].detach().abs().max()) for place in (0, 2)) > 0
    names = [name for name, module in task.network.named_modules() if isinstance(module, LowRankLinear)]
    assert names == ["stack.layers.0.attention.qkv", "stack.layers.1.attention.qkv"]


def test_cross_attention_has_differences_too() -> None:
    task = Seq2Seq(t5(), adapter=LoRA(rank=2))
    names = {name for name, module in task.network.named_modules() if isinstance(module, LowRankLinear)}
    assert {"decoder.layers.1.cross_attention.query", "decoder.layers.1.cross_attention.key_value"} <= names


def test_a_share_of_two_percent_is_trained() -> None:
    network = BERT(30522, d_model=384, num_layers=6, num_heads=12)  # MiniLM's sizes
    trained, total = TextClassification(network, list("abcdef"), adapter=LoRA(rank=8)).trained_parameters()
    assert trained == 6 * 2 * 8 * (384 + 384) + 6 * 385
    assert trained / total < 0.02


@pytest.mark.parametrize("adapter", [LoRA(rank=2, alpha=3.0, targets=["*.out"]), PrefixTuning(3), PromptTuning(3)])
def test_a_checkpoint_builds_it_again(adapter: Adapter, tmp_path: Path) -> None:
    task = classifier(adapter).eval()
    learned(task)
    write_checkpoint(task, tmp_path / "x.ckpt")
    again = task_from_checkpoint(tmp_path / "x.ckpt")
    assert torch.equal(again(ids(), padding())["logits"], task(ids(), padding())["logits"])
    assert again.trained_parameters() == task.trained_parameters()


def test_a_network_that_starts_from_a_checkpoint_has_what_was_learned(tmp_path: Path) -> None:
    task = classifier(LoRA(rank=2)).eval()
    learned(task)
    write_checkpoint(task, tmp_path / "x.ckpt")
    network = BERT.from_pretrained(str(tmp_path / "x.ckpt")).eval()
    torch.testing.assert_close(network(ids()), task.network(ids()), atol=1e-5, rtol=0)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_prefix_stays_out_of_weights(tmp_path: Path) -> None:
    task = classifier(PrefixTuning(3))
    with pytest.raises(ValueError, match="PrefixTuning cannot be merged"):
        task.merged()
    write_checkpoint(task, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=r"x\.ckpt: PrefixTuning cannot be merged"):
        BERT.from_pretrained(str(tmp_path / "x.ckpt"))


@pytest.mark.parametrize("make", [bert, gpt], ids=["bert", "gpt"])
def test_a_prefix_is_attended_to_by_every_token(make: Any) -> None:
    network = make().eval()
    plain = network(ids())
    PrefixTuning(3).apply(network)
    for name, parameter in network.named_parameters():
        if name.endswith("prefix.values"):
            nn.init.normal_(parameter)
    adapted = network(ids())
    first = [out if isinstance(out, Tensor) else out[0] for out in (plain, adapted)]
    assert (first[0] - first[1]).abs().amax(-1).min() > 1e-3


def test_a_prefix_leaves_causality_and_the_cache_as_they_are() -> None:
    task = CausalLM(gpt(), adapter=PrefixTuning(3)).eval()
    learned(task)
    tokens = ids(2, 8)
    whole, _ = task.network(tokens)
    masked, _ = task.network(tokens, torch.ones_like(tokens))
    torch.testing.assert_close(masked, whole, atol=1e-5, rtol=0)
    first, cache = task.network(tokens[:, :5], None, task.network.empty_cache(2))
    rest, cache = task.network(tokens[:, 5:], None, cache)
    assert cache is not None
    assert cache[0].shape[2] == 8
    torch.testing.assert_close(torch.cat([first, rest], 1), whole, atol=1e-5, rtol=0)


def test_a_prefix_of_an_encoder_decoder() -> None:
    task = Seq2Seq(t5(), adapter=PrefixTuning(2)).eval()
    before = task(ids(), ids(2, 4), padding())["logits"]
    learned(task)
    assert not torch.allclose(task(ids(), ids(2, 4), padding())["logits"], before, atol=1e-4)


@pytest.mark.parametrize("make", [bert, gpt], ids=["bert", "gpt"])
def test_a_prompt_is_what_tokens_before_the_text_would_be(make: Any) -> None:
    network = make().eval()
    prompt, text = ids(1, 3), ids(2, 7)
    before = network(torch.cat([prompt.expand(2, -1), text], 1))
    table = network.token_embedding.weight
    PromptTuning(3).apply(network)
    with torch.no_grad():
        network.token_embedding.prompt.copy_(table[prompt[0]])
    after = network(text)
    both = [out if isinstance(out, Tensor) else out[0] for out in (before, after)]
    torch.testing.assert_close(both[1], both[0][:, 3:], atol=1e-5, rtol=0)
    assert network.max_length == 13
    with pytest.raises(ValueError, match=r"1[47] tokens"):
        network(ids(1, 14))


def test_a_prompt_of_an_encoder_decoder_is_read_with_its_source() -> None:
    network = t5().eval()
    prompt, text = ids(1, 3), ids(2, 7)
    before = network.encode(torch.cat([prompt.expand(2, -1), text], 1))
    PromptTuning(3).apply(network)
    with torch.no_grad():
        network.token_embedding.get_parameter("prompt").copy_(network.token_embedding.weight[prompt[0]])
    torch.testing.assert_close(network.encode(text), before[:, 3:], atol=1e-5, rtol=0)
    short = network.encode(text[:, :4])
    torch.testing.assert_close(network.encode(text, padding())[1, :4], short[1], atol=1e-5, rtol=0)


def test_a_prompt_leaves_causality_padding_and_the_cache_as_they_are() -> None:
    task = CausalLM(gpt(), adapter=PromptTuning(3)).eval()
    learned(task)
    tokens = ids(2, 8)
    whole, none = task.network(tokens)
    assert none is None
    first, cache = task.network(tokens[:, :5], None, task.network.empty_cache(2))
    rest, cache = task.network(tokens[:, 5:], None, cache)
    assert cache is not None
    assert cache[0].shape[2] == 8, "a cache holds nothing of the prompt"
    torch.testing.assert_close(torch.cat([first, rest], 1), whole, atol=1e-5, rtol=0)
    mask = torch.tensor([[1] * 8, [0] * 3 + [1] * 5])
    padded, _ = task.network(torch.cat([tokens[:1], tokens[1:].roll(3)]), mask)
    torch.testing.assert_close(padded[1, 3:], whole[1, :5], atol=1e-5, rtol=0)


def test_a_prompt_starts_from_the_vocabulary_or_a_text() -> None:
    task = CausalLM(gpt(), adapter=PromptTuning(3))
    table, prompt = task.network.token_embedding.weight, task.network.token_embedding.get_parameter("prompt")
    assert all(any(torch.equal(row, known) for known in table) for row in prompt)
    told = CausalLM(gpt(), adapter=PromptTuning(5, text="the cat sat"))
    with pytest.raises(ValueError, match="needs a tokenizer, and the task has none"):
        told.setup("fit")
    told.tokenizer = train_tokenizer(["the cat sat on the mat"] * 9, "bpe", V)
    told.setup("fit")
    given = told.tokenizer.encode("the cat sat", add_special_tokens=False).ids
    made = told.network.token_embedding.get_parameter("prompt")
    assert torch.equal(made, told.network.token_embedding.weight[(given * 5)[:5]])
    learned(told)
    kept = made.detach().clone()
    told.setup("fit")
    assert torch.equal(made, kept), "what was learned stays"


def test_a_prompt_stands_before_one_document() -> None:
    for network in (bert(), gpt(), t5()):
        PromptTuning(3).apply(network)
        read = network.encode if isinstance(network, T5) else network
        with pytest.raises(ValueError, match="a prompt stands before one document"):
            read(ids(), torch.tensor([[1, 1, 1, 2, 2, 2, 2]] * 2))


def test_what_cannot_be_adapted() -> None:
    with pytest.raises(ValueError, match=r"no matrix of BERT matches '\*atention.query'; did you mean"):
        LoRA(targets=["*atention.query"]).apply(bert())
    with pytest.raises(ValueError, match=r"no matrix of BERT matches '\*cross.key'"):
        LoRA(targets=["*", "*cross.key"]).apply(bert())
    with pytest.raises(ValueError, match="LSTMLM has no attention that takes a prefix"):
        PrefixTuning().apply(LSTMLM(V, d_model=8, num_layers=1))
    network: Network = bert()
    LoRA().apply(network)
    with pytest.raises(ValueError, match="BERT has an adapter already"):
        PrefixTuning().apply(network)
    for wrong in ({"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} .*: expected"):
            LoRA(**wrong)
    for cls in (PrefixTuning, PromptTuning):
        with pytest.raises(ValueError, match="length 0: expected"):
            cls(0)
    with pytest.raises(ValueError, match="text is empty"):
        PromptTuning(text=" ")
    for other in (LSTMLM(V, d_model=8, num_layers=1), XLNet(V, d_model=24, num_layers=1, num_heads=3)):
        with pytest.raises(ValueError, match="has no place for a prompt"):
            PromptTuning(3).apply(other)
    with pytest.raises(ValueError, match="length 16 leaves nothing of the network's max_length 16"):
        PromptTuning(16).apply(bert())


def test_merging_leaves_nothing_of_the_adapter() -> None:
    network = bert().eval()
    LoRA(rank=2).apply(network)
    learned(network)
    before = network(ids())
    merge_low_rank(network)
    torch.testing.assert_close(network(ids()), before, atol=1e-5, rtol=0)
    assert not any(isinstance(module, LowRankLinear) for module in network.modules())


def test_a_folder_for_transformers_has_no_place_for_an_adapter(tmp_path: Path) -> None:
    task = CausalLM(gpt(), adapter=LoRA(rank=2))
    with pytest.raises(ValueError, match=r"has an adapter \(LoRA\)"):
        task.save_pretrained(str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()
    merged = task.merged()
    assert isinstance(merged, CausalLM)
    merged.save_pretrained(str(tmp_path / "x"))
    assert isinstance(plmlight.load(tmp_path / "x"), CausalLM)
