"""What one class of a configuration takes from another."""

from __future__ import annotations

import hashlib
import inspect
import tempfile
from pathlib import Path
from pydoc import locate
from typing import Any

from jsonargparse import Namespace
from tokenizers import Tokenizer

from plmlight.interop import Pretrained, fetch, is_checkpoint, read_checkpoint, stored_arguments
from plmlight.nn import build
from plmlight.nn.counting import Counted
from plmlight.objectives import Objective, SentencePairObjective
from plmlight.tasks import (
    Distillation,
    Problem,
    QuestionAnswering,
    RelationExtraction,
    SemanticRoleLabelling,
    Seq2Seq,
    SingleLabel,
    Task,
    TextClassification,
    TokenClassification,
)
from plmlight.text import load_tokenizer, replace_file, tokenizer_hash, vocabulary_size

TRAINED = ("tokenizer_kind", "tokenizer_vocab_size", "tokenizer_lowercase")
"""What data is told of a tokenizer that it trains."""


DATA = {
    "TextClassification": "LabelledText",
    "TokenClassification": "TaggedText",
    "RelationExtraction": "RelationData",
    "SemanticRoleLabelling": "RoleData",
    "QuestionAnswering": "SquadData",
    "SentenceEmbedding": "TextPairs",
}
"""The data that a checkpoint's task reads where none is named."""


def with_data(argv: list[str]) -> list[str]:
    """Names the data of a checkpoint's task where the words do not.

    Args:
        argv: the words of a command that starts from a checkpoint.

    Returns:
        The words, with ``--data`` before them where the task has data of its own.
    """
    if any(word.partition("=")[0] in ("--data", "--data.class_path", "--config", "-c", "--model") for word in argv):
        return argv
    words = [part for word in argv for part in word.split("=", 1)]
    path = words[words.index("--ckpt_path") + 1 :][:1] if "--ckpt_path" in words else []
    if not path or not is_checkpoint(Path(path[0])):
        return argv
    name = str(read_checkpoint(path[0])["task"]).rpartition(".")[2]
    return ["--data", DATA[name], *argv] if name in DATA else argv


def check_links(config: Namespace) -> None:
    """Refuses a value for what is taken from the data's tokenizer: it would be ignored without a word.

    Args:
        config: as parsed.

    Raises:
        ValueError: for such a value.
    """
    network = _arguments(config.get("model"), "network")
    if network is None:
        return
    pad_token_id = _default(config.model.init_args.network.class_path, "pad_token_id")
    defaults = {"vocab_size": None, "target_vocab_size": None, "pad_token_id": pad_token_id}
    for name, default in defaults.items():
        given = network.get(name)
        if given is not None and given != default:
            raise ValueError(
                f"model.network.{name} {given} was given, but it is taken from the data's tokenizer: leave it out"
            )


def link_data(config: Namespace, task: Task | None) -> None:
    """Sets what the data must know of the model, where it was not given: how long a sample is, and what it is.

    The length is ``data.block_length`` or ``data.max_length``, whichever the data has: that of a checkpoint's training,
    else what the network reads at most; ``data.max_target_length`` is what it writes at most. The pairs are
    ``data.pairs``: those that the pair objective learns from. Parallel text is ``data.form`` apart for a model that
    reads the one side and writes the other.

    Args:
        config: changed in place.
        task: what was rebuilt from a checkpoint, else None: then the configuration says it.

    Raises:
        ValueError: when the network does not say how much it reads, or other pairs or another form were given.
    """
    data = config.data.get("init_args")
    if data is None:
        return
    _link_tokenizer(config)
    _link_order(config, task)
    _link_problem(config, task)
    _link_windows(config, task)
    if "form" in data:
        data.form = _form(config, task, data.form)
    endless = "max_target_length" in data and data.get("form") != "joined"  # then None is no limit
    for name in ("block_length", "max_length"):
        if name in data and data[name] is None:
            data[name] = _source_length(config, task, name, endless)
    if endless and data.max_target_length is None:
        data.max_target_length = _target_length(config, task)
    pair_objective = _pair_objective(config, task)
    if pair_objective is not None and "pairs" in data:
        if data.pairs not in (None, "none", pair_objective.pairs):
            raise ValueError(
                f"data.pairs {data.pairs} was given, but {pair_objective.__name__} learns from pairs "
                f"{pair_objective.pairs}: leave it out"
            )
        data.pairs = pair_objective.pairs


def _link_tokenizer(config: Namespace) -> None:
    """Lets the data read text as the model that the network comes from, or a teacher, where nothing else was given.

    What a teacher taught has its tokenizer, so that a checkpoint of it needs no teacher.
    """
    data, network = config.data.init_args, _arguments(config.get("model"), "network")
    folder = None if network is None or "vocab_size" in network else network.get("folder")
    teacher = _teacher(config)
    if folder is None and teacher is not None:
        folder = config.ckpt_path or teacher
    if folder is None or "tokenizer" not in data or data.tokenizer is not None:
        return
    if any(name in data and data[name] != _default(config.data.class_path, name) for name in TRAINED):
        return  # a tokenizer of the data's own is asked for, which is refused where it does not fit
    tokenizer = _tokenizer_at(fetch(folder))
    if tokenizer is not None:
        data.tokenizer = _written(tokenizer)


def _teacher(config: Namespace) -> str | None:
    """Where the model is that the task learns from beside its labels."""
    model = config.get("model")
    parts = (model.init_args.get("auxiliary") or []) if model is not None and "init_args" in model else []
    parts = parts if isinstance(parts, list) else [parts]
    teachers = [part.init_args.teacher for part in parts if locate(part.class_path) is Distillation]
    return str(teachers[0]) if teachers else None


def _link_problem(config: Namespace, task: Task | None) -> None:
    """Lets the data read labels as the model asks for them: what they are, their names, and long texts in windows."""
    data = config.data.init_args
    cls = type(task) if task is not None else locate(config.model.class_path)
    if "problem" not in data or not (isinstance(cls, type) and issubclass(cls, TextClassification)):
        return
    if isinstance(task, TextClassification):
        kind, stride = task.problem.kind, task.stride
        data.labels = task.labels if data.labels is None else data.labels
    else:
        named = config.model.init_args.get("problem")
        found = SingleLabel if named is None else locate(named.class_path)
        assert isinstance(found, type)
        assert issubclass(found, Problem)
        kind, stride = found.kind, config.model.init_args.get("stride")
    for name, value, unset in (("problem", kind, SingleLabel.kind), ("stride", stride, None)):
        if data.get(name) not in (unset, value):
            raise ValueError(f"data.{name} {data[name]} was given, but it is the model's, {value}: leave it out")
        if name in data:
            data[name] = value
    if stride is not None and "stride" not in data:
        raise ValueError("model.stride: pairs of texts are not read in windows; leave it out")


def _link_windows(config: Namespace, task: Task | None) -> None:
    """Lets the data cut contexts as the model reads them, and call relations and tags as a checkpoint does."""
    data = config.data.init_args
    cls = type(task) if task is not None else locate(config.model.class_path)
    tells = ((RelationExtraction, "markers"), (TokenClassification, "tag_column"), (SemanticRoleLabelling, "markers"))
    suits = any(isinstance(task, kind) and name in data for kind, name in tells)
    if isinstance(task, RelationExtraction | TokenClassification) and suits and not data.labels:
        data.labels = task.labels
    if isinstance(task, TokenClassification) and "unit" in data and data.unit is None:
        data.unit = task.unit
    if "stride" not in data or not (isinstance(cls, type) and issubclass(cls, QuestionAnswering)):
        return
    stride = task.stride if isinstance(task, QuestionAnswering) else config.model.init_args.stride
    if data.stride not in (None, stride):
        raise ValueError(f"data.stride {data.stride} was given, but it is the model's, {stride}: leave it out")
    data.stride = stride


def _link_order(config: Namespace, task: Task | None) -> None:
    """Gives a network that is counted its text in order."""
    data = config.data.init_args
    network = None if task is not None else config.model.init_args.get("network")
    cls = locate(network.class_path) if isinstance(network, Namespace) else None
    if "order" in data and isinstance(cls, type) and issubclass(cls, Counted):
        if data.order not in ("shuffled", "sequential"):
            raise ValueError(f"data.order {data.order} was given, but {cls.__name__} is counted in order: leave it out")
        data.order = "sequential"


def _form(config: Namespace, task: Task | None, given: str) -> str:
    """Whether parallel text comes joined or apart."""
    cls = type(task) if task is not None else locate(config.model.class_path)
    if isinstance(cls, type) and issubclass(cls, Seq2Seq):
        return "apart"
    if given != "joined" and isinstance(cls, type) and issubclass(cls, Task):
        raise ValueError(f"data.form {given} was given, but {cls.__name__} reads both sides joined: leave it out")
    return given


def _target_length(config: Namespace, task: Task | None) -> int | None:
    """How many tokens the network writes at most; None where it does not say."""
    if task is not None:
        length: int | None = getattr(task.network, "target_max_length", None)
        return length
    return _max_length(config.model, "decoder")


def _source_length(config: Namespace, task: Task | None, name: str, endless: bool) -> int | None:
    """How many tokens a sample has: as in a checkpoint's training, else as many as the network can read."""
    if task is not None:
        trained: int | None = getattr(task, "max_length", None)
        length: int | None = task.network.max_length if trained is None else trained
        objective = getattr(task, "objective", None)
    else:
        length = _max_length(config.model)
        named = config.model.init_args.get("objective")
        usual = getattr(locate(config.model.class_path), "default_objective", None)
        objective = build(named.as_dict()) if named is not None else usual() if usual is not None else None
        adapter = config.model.init_args.get("adapter")
        if length is not None and adapter is not None:
            length -= build(adapter.as_dict()).reserved
    if length is None and endless:
        return None
    if length is None:
        raise ValueError(f"data.{name} is missing: the network does not say its max_length, so give it")
    return int(objective.source_length(length)) if isinstance(objective, Objective) else length


def _pair_objective(config: Namespace, task: Task | None) -> type[SentencePairObjective] | None:
    if task is not None:
        objective = getattr(task, "pair_objective", None)
        return type(objective) if isinstance(objective, SentencePairObjective) else None
    named = config.model.init_args.get("pair_objective")
    found = None if named is None else locate(named.class_path)
    return found if isinstance(found, type) and issubclass(found, SentencePairObjective) else None


def use_text_of(task: Task, config: Namespace) -> None:
    """Lets the data read text as a checkpoint's model did, where nothing else was given: tokenizers, prefix, roles.

    Args:
        task: of the checkpoint.
        config: changed in place.
    """
    data = config.data.get("init_args")
    if data is None:
        return
    for name in ("tokenizer", "target_tokenizer"):
        tokenizer = getattr(task, name, None)
        if tokenizer is not None and name in data and data[name] in (None, "own"):
            data[name] = _written(tokenizer)
    form = getattr(task, "text_form", None)
    if form is not None and "prefix" in data and data.prefix is None and len(form.prefixes) == 1:
        (data.prefix,) = form.prefixes.values()
    if form is not None and form.history and "history" in data:
        data.history, data.roles = form.history, form.roles


def _written(tokenizer: Tokenizer) -> str:
    """The path of a file with a tokenizer."""
    text = tokenizer.to_str()
    path = Path(tempfile.gettempdir()) / f"plmlight-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    with replace_file(path, "w") as handle:
        handle.write(text)
    return str(path)


def check_tokenizer(tokenizer: Tokenizer, target: Tokenizer | None, task: Task, config: Namespace) -> None:
    """Refuses ids that mean nothing, or something else, to a network that was trained before.

    Args:
        tokenizer: the data's.
        target: that of the data's targets, where they have their own.
        task: with the network.
        config: as parsed, which may name where the network comes from.

    Raises:
        ValueError: when the network has fewer tokens, or comes with another tokenizer.
    """
    size, rows = vocabulary_size(tokenizer), task.network.vocab_size
    hint = "give the tokenizer that the network was trained with (--data.tokenizer)"
    if size > rows:
        raise ValueError(f"the data's tokenizer has {size} tokens, but the network's vocab_size is {rows}: {hint}")
    written = getattr(task.network, "target_vocab_size", rows)
    if (size := vocabulary_size(target or tokenizer)) > written:
        raise ValueError(f"the tokenizer of targets has {size} tokens, but the network writes {written}: {hint}")
    network = _arguments(config.get("model"), "network")
    folder = None if network is None or "vocab_size" in network else network.get("folder")
    theirs = task.tokenizer if folder is None else _tokenizer_at(fetch(folder))
    if theirs is not None and tokenizer_hash(theirs) != tokenizer_hash(tokenizer):
        raise ValueError(f"the data's tokenizer is not that of {folder or 'the checkpoint'}: {hint}")
    mine = getattr(task, "target_tokenizer", None)
    if mine is not None and (target is None or tokenizer_hash(mine) != tokenizer_hash(target)):
        raise ValueError("the tokenizer of targets is not the checkpoint's: leave out --data.target_tokenizer")


def _tokenizer_at(path: Path) -> Tokenizer | None:
    if is_checkpoint(path):
        text = read_checkpoint(path).get("tokenizer")
        return None if text is None else Tokenizer.from_str(text)
    try:
        return load_tokenizer(path)
    except ValueError:  # a folder needs no tokenizer
        return None


def _arguments(owner: Any, name: str) -> Namespace | None:
    """The arguments of an object within another's, or None where it has none."""
    inner = owner.init_args.get(name) if owner is not None and "init_args" in owner else None
    return inner.get("init_args") if isinstance(inner, Namespace) else None


def _max_length(model: Namespace, side: str = "encoder") -> int | None:
    """How much the network, or one side of a pair, reads, without building it; None where it does not say."""
    holder, network = model, _arguments(model, "network")
    name = "network"
    if network is not None and isinstance(network.get(side), Namespace):
        holder, network, name = model.init_args.network, _arguments(model.init_args.network, side), side
    if network is None:
        return None
    owner = getattr(locate(holder.init_args[name].class_path), "__self__", None)  # GPT, of GPT.from_pretrained
    if isinstance(owner, type) and issubclass(owner, Pretrained):
        length: int | None = stored_arguments(owner, network.folder).get("max_length")
    else:
        length = network.get("max_length")
    return length


def _default(path: str, name: str) -> Any:
    parameter = inspect.signature(locate(path)).parameters.get(name)  # type: ignore[arg-type]
    return None if parameter is None else parameter.default
