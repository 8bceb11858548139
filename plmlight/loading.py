"""The one way in: whatever holds a model becomes its task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import __version__ as lightning_version

import plmlight.networks
import plmlight.tasks
from plmlight.interop import (
    Family,
    Pretrained,
    fetch,
    fill,
    import_folder,
    is_checkpoint,
    read_chat_form,
    read_decoding,
    read_labels,
    read_pooling,
    read_prefixes,
    read_tags,
)
from plmlight.nn import Encoder, build
from plmlight.tasks import Task, task_from_checkpoint
from plmlight.tasks.adapter_folder import is_adapter, task_with_adapter
from plmlight.text import TextForm, load_target_tokenizer, load_tokenizer, nearest, replace_file, vocabulary_size
from plmlight.text.arpa import START, read_arpa, token_names, with_unknown, word_tokenizer, write_arpa
from plmlight.text.published import find_vocabulary
from plmlight.text.vectors import is_vectors, read_vectors, vocabulary_tokenizer


def load(path: str | Path, task: str | None = None, base: str | None = None) -> Task:
    """Opens a model.

    Args:
        path: a checkpoint, a Hugging Face folder, or a hub id such as ``openai-community/gpt2``. A bundle is opened by
            `plmlight.runtime.load`. Or an n-gram model, ``X.arpa``, whose tokenizer is ``X.tokenizer.json`` beside it,
            else its words are those between white space.
        task: what to open it as, instead of what it was trained as: ``SentenceEmbedding`` takes the encoder of any task
            and gives its hidden states and their mean.
        base: of a folder with an adapter (`convert --adapter` writes such): where its network is, if it is not where
            it was.

    Returns:
        The task in evaluation mode on the CPU, with its head, and with its tokenizer if it comes with one.

    Raises:
        ValueError: when there is nothing of that name, or it is of an unknown kind, or its parts do not fit together.
    """
    found = fetch(path)
    if found.is_file() and found.suffix == ".arpa":
        opened = _from_arpa(found)
    elif is_vectors(found):
        opened = _from_vectors(found)
    elif is_adapter(found):
        opened = task_with_adapter(found, base)
    else:
        opened = task_from_checkpoint(found) if is_checkpoint(found) else _from_folder(found)
    if opened.tokenizer is not None:
        needed, rows = vocabulary_size(opened.tokenizer), opened.network.vocab_size
        if needed > rows:
            raise ValueError(f"{path}: its tokenizer has ids up to {needed - 1}, but its network only {rows} tokens")
    if isinstance(opened, plmlight.tasks.Seq2Seq) and opened.target_tokenizer is not None:
        needed, rows = vocabulary_size(opened.target_tokenizer), opened.network.target_vocab_size
        if needed > rows:
            raise ValueError(f"{path}: its target's tokenizer has ids up to {needed - 1}, but its network only {rows}")
    return (opened if task in (None, type(opened).__name__) else _opened_as(opened, str(task), path)).eval()


def load_on(path: str | Path, provider: str = "auto", threads: int | None = None) -> Task:
    """Opens a model that is to read text, where it is to run.

    Args:
        path: see `load`.
        provider: ``cpu`` or ``cuda``; ``auto`` takes a CUDA device where there is one.
        threads: of the CPU; all that are allowed by default.

    Returns:
        The task in evaluation mode, with a tokenizer, on its device.

    Raises:
        ValueError: when it can not be opened, has no tokenizer, or can not run there.
    """
    if provider not in ("auto", "cpu", "cuda"):
        expected = nearest(provider, ["auto", "cpu", "cuda"])
        raise ValueError(f"{path}: not a bundle, so it can not run on the provider {provider!r}{expected}")
    cuda = torch.cuda.is_available()
    if provider == "cuda" and not cuda:
        raise ValueError("provider 'cuda' was asked for, but torch finds no CUDA device: see `plmlight doctor`")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    task = load(path)
    if task.tokenizer is None:
        raise ValueError(f"{path}: has no tokenizer, so it can not read text")
    if threads is not None:
        torch.set_num_threads(threads)
    return task.to("cuda" if cuda and provider != "cpu" else "cpu")


def _opened_as(opened: Task, task: str, path: str | Path) -> Task:
    if task != "SentenceEmbedding" or not isinstance(opened.network, Encoder):
        hint = nearest(task, [type(opened).__name__, *(["SentenceEmbedding"] * isinstance(opened.network, Encoder))])
        raise ValueError(f"{path}: holds a {type(opened).__name__}, which cannot be opened as {task!r}{hint}")
    embedding = plmlight.tasks.SentenceEmbedding(network=opened.network)
    embedding.tokenizer = opened.tokenizer
    return embedding


def write_checkpoint(task: Task, path: str | Path) -> None:
    """Writes a task as a checkpoint, as a trainer would before its first step.

    Args:
        task: the task.
        path: the file; replaced in one go.

    Raises:
        ValueError: when ``path`` is a folder.
    """
    if Path(path).is_dir():
        raise ValueError(f"{path}: is a folder, expected the name of a checkpoint file")
    checkpoint = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": lightning_version,
        "state_dict": task.state_dict(),
    }
    task.on_save_checkpoint(checkpoint)
    with replace_file(path) as handle:
        torch.save(checkpoint, handle)


def write_ngrams(task: Task, path: str | Path) -> None:
    """Writes an n-gram model in the ARPA format, and its tokenizer beside it, as `load` opens them.

    Args:
        task: a `CausalLM` whose network is an `NGram`, with a tokenizer.
        path: ``X.arpa``; replaced in one go.

    Raises:
        ValueError: for another task, or one without a tokenizer.
    """
    network = task.network
    if not isinstance(network, plmlight.networks.NGram):
        raise ValueError(f"{path}: the ARPA format is for NGram, and this is {type(network).__name__}")
    if task.tokenizer is None:
        raise ValueError(f"{path}: the model has no tokenizer, so that its tokens have no names")
    write_arpa(network.to_arpa(token_names(task.tokenizer)), path)
    with replace_file(_tokenizer_of(Path(path)), "w") as handle:
        handle.write(task.tokenizer.to_str(pretty=True))


def _tokenizer_of(path: Path) -> Path:
    return path.with_suffix(".tokenizer.json")


def _from_arpa(path: Path) -> Task:
    arpa, beside = read_arpa(path), _tokenizer_of(path)
    if beside.exists():
        tokenizer = load_tokenizer(beside)
        network = plmlight.networks.NGram.from_arpa(arpa, token_names(tokenizer))
    else:
        arpa = with_unknown(arpa)
        tokenizer = word_tokenizer([word for word in arpa.words if word != START])
        network = plmlight.networks.NGram.from_arpa(arpa)
    task = plmlight.tasks.CausalLM(network=network)
    task.tokenizer = tokenizer
    return task


def families() -> dict[Family, type[Pretrained]]:
    """The Hugging Face families that can be opened, and the network of each."""
    networks = (getattr(plmlight.networks, name) for name in plmlight.networks.__all__)
    return {family: cls for cls in networks if issubclass(cls, Pretrained) for family in cls.families}


def _from_vectors(path: Path) -> Task:
    words, vectors = read_vectors(path)
    tokenizer = vocabulary_tokenizer(words)
    network = plmlight.networks.Word2Vec(vocabulary_size(tokenizer), vectors.shape[1])
    ids = torch.tensor([tokenizer.token_to_id(word) for word in words])
    with torch.no_grad():
        network.input_table.weight.zero_()[ids] = torch.from_numpy(vectors)
    task = plmlight.tasks.WordVectorModel(network=network)
    task.tokenizer = tokenizer
    return task


_LABELS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "TextClassification": read_labels,
    "TokenClassification": read_tags,
}
"""What reads the names of a task's labels from a folder."""


def _from_folder(folder: Path) -> Task:
    if (folder / "manifest.json").exists():
        raise ValueError(f"{folder}: is a bundle; open it with plmlight.runtime.load")
    if not (folder / "config.json").exists():
        inside = sorted(folder.glob("*.ckpt"))
        hint = f"; did you mean {inside[-1]}?" if inside else ""
        raise ValueError(f"{folder}: neither a Hugging Face folder (it has no config.json) nor a checkpoint{hint}")
    imported = import_folder(folder, families())
    try:
        name = imported.family.architecture(imported.architecture).task
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from None
    arguments = {"network": imported.network, **imported.arguments}
    if name == "SentenceEmbedding":
        arguments |= read_pooling(folder, isinstance(imported.network, Encoder) and imported.network.cls_last)
    elif name in _LABELS:
        arguments |= _LABELS[name](folder)
    task: Task = build({"class_path": f"plmlight.{name}", "init_args": arguments})
    fill(task, imported.heads, imported.names, str(folder))
    if isinstance(task, plmlight.tasks.Seq2Seq):
        task.decoding_defaults = read_decoding(folder)
        task.text_form = TextForm(prefixes=read_prefixes(folder))
    elif isinstance(task, plmlight.tasks.CausalLM):
        task.text_form = TextForm(chat=read_chat_form(folder))
    if (folder / "tokenizer.json").exists() or find_vocabulary(folder) is not None:
        task.tokenizer = load_tokenizer(folder)
        if isinstance(task, plmlight.tasks.Seq2Seq):
            task.target_tokenizer = load_target_tokenizer(folder)
    return task
