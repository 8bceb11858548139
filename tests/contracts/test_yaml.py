"""Every YAML file is turned into the objects that it describes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tokenizers import Tokenizer

import plmlight
import plmlight.networks
from plmlight.cli.training_cli import TrainingCLI
from plmlight.export.recipe import load_recipe
from plmlight.tasks import Task
from plmlight.text import train_tokenizer, vocabulary_size

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
NETWORKS = [path for path in CONFIGS if path.parent.name == "network"]
GPTS = [path for path in NETWORKS if path.stem.startswith("gpt")]
SEQ2SEQ = [
    path for path in NETWORKS if path.stem in ("bert2gpt-tiny", "lstm-seq2seq-tiny", "t5-tiny", "transformer-tiny")
]
TRAINING = [path for path in CONFIGS if path not in NETWORKS]
RECIPES = sorted((ROOT / "export").rglob("*.yaml")) + sorted((ROOT / "plmlight").rglob("*.yaml"))
LARGE = 200_000_000

BASE = """
model:
  class_path: CausalLM
  init_args:
    network: {class_path: GPT, init_args: {d_model: 32, num_layers: 2, num_heads: 2, max_length: 32}}
data: {class_path: TextCorpus, init_args: {files: x}}
"""


for public in dir(plmlight):
    getattr(plmlight, public)  # as the command does: short class names are looked up among what is imported


WRITTEN = {
    "InstructionData": '{{"prompt": "say {0}", "response": "it is {0}"}}\n',
    "TaggedText": "X{} S-A\nY O\nZ O\n\n",
    "RoleData": "X{} - (A0*)\nY y (V*)\nZ - (A1*)\n\n",
}
"""An example of data whose recipes need nothing else."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


class Built(TrainingCLI):
    """Builds everything, on whatever machine this is."""

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        here = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "precision": "32-true"}
        for key, value in here.items():
            self.config_init["trainer"][key] = value
        return super().instantiate_trainer(**kwargs)


@pytest.mark.parametrize("path", NETWORKS, ids=name)
def test_a_network_is_built(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    assert "vocab_size" not in config["init_args"], "linked from the data, which an explicit value would contradict"
    with torch.device("meta"):
        network = made(config)
    if sum(parameter.numel() for parameter in network.parameters()) <= LARGE:
        network = made(config)
        assert not any(parameter.is_meta for parameter in network.parameters())


def made(config: dict[str, Any]) -> torch.nn.Module:
    """A network of its YAML, whose networks within, if any, have vocabularies of their own."""
    arguments = config["init_args"]
    inner = {key: made(value) for key, value in arguments.items() if isinstance(value, dict)}
    if not inner:
        arguments = {"vocab_size": 50257, **arguments}
    network: torch.nn.Module = getattr(plmlight.networks, config["class_path"])(**{**arguments, **inner})
    return network


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_a_training_config_is_built(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"Line {i}.\tHere {i * i} is the square of {i}!\n" for i in range(3000)]
    (tmp_path / "text.txt").write_text("".join(line + "\n" * (i % 10 == 9) for i, line in enumerate(lines)))
    (tmp_path / "base.yaml").write_text(BASE)
    content = yaml.safe_load(path.read_text())
    whole = "data" in content and "class_path" in content.get("model", {})  # otherwise it is a fragment
    words = [] if whole else ["--config", "base.yaml"]
    words += ["--data" if path.parent.name == "data" else "--config", str(path)]
    given = content.get("data", {}).get("init_args", {})
    words += [
        word
        for name in ("validation_files", "test_files", "unlabelled_files")
        if name in given
        for word in (f"--data.{name}", "null")
    ]
    pretrained(content, "".join(lines))
    data = content.get("data", {}).get("class_path")
    for task in given.get("tasks", {}).values():
        written(tmp_path, lines, task["files"], task)
    if data != "TaskMixture":
        words += files_of(data, given, tmp_path, lines)
    words += ["--data.cache_folder", "cache"]
    built = Built("fit", words)
    assert isinstance(built.model, Task)
    assert built.model.network.vocab_size == built.datamodule.vocab_size


def files_of(data: str, given: dict[str, Any], folder: Path, lines: list[str]) -> list[str]:
    """Writes what the data of a recipe reads; returns the words that name it."""
    if data in ("SquadData", "RelationData"):
        return ["--data.files", labelled(folder, data), "--data.max_length", "64"]
    if data == "DialogueData":
        turns = (line.replace("\t", " __eou__ ")[:-1] + " __eou__\n" for line in lines)
        (folder / "text.txt").write_text("".join(turns))
    elif data == "TextPairs":
        return ["--data.files", text_pairs(folder, given)]
    elif data == "LabelledPairs":
        return ["--data.files", labelled_pairs(folder, given)]
    elif data == "LabelledText":
        return ["--data.files", classified(folder, given)]
    elif data == "ParallelCorpus":
        files = "parallel.jsonl" if "source_field" in given else "parallel.tsv"
        return ["--data.files", written(folder, lines, files, given)]
    elif data in WRITTEN:
        (folder / given["files"]).write_text("".join(WRITTEN[data].format(number) for number in range(20)))
        return []
    return ["--data.files", "text.txt"]


def labelled(folder: Path, data: str) -> str:
    """Writes questions about texts, or texts with two entities; returns the name."""
    if data == "SquadData":
        questions = [
            {"question": f"Which {i}?", "context": f"Line {i}.", "answers": {"text": [str(i)], "answer_start": [5]}}
            for i in range(40)
        ]
        (folder / "labelled.jsonl").write_text("".join(json.dumps(each) + "\n" for each in questions))
        return "labelled.jsonl"
    items = [f'{i}\t"<e1>Line</e1> is <e2>{i}</e2>"\n{"AB"[i % 2]}\n\n' for i in range(40)]
    (folder / "labelled.txt").write_text("".join(items))
    return "labelled.txt"


def classified(folder: Path, given: dict[str, Any]) -> str:
    """Writes texts with labels, in the form that a recipe reads, and names of the labels; returns the name."""
    if isinstance(given.get("labels"), str):
        (folder / given["labels"]).write_text("even\nodd\n")
    rows = [(f"Line {i} is the line {i * i}.", str(i % 2)) for i in range(200)]
    if given.get("file_format") == "jsonl":
        text = "".join(json.dumps({given["text_field"]: text, "label": label}) + "\n" for text, label in rows)
    elif given.get("file_format") == "text":
        text = "".join(f"{label} {text}\n" for text, label in rows)
    else:
        header = [] if given["text_field"] == 1 else [(given["text_field"], "label")]
        text = "".join("\t".join(row) + "\n" for row in header + rows)
    (folder / given["files"]).write_text(text)
    return str(given["files"])


def text_pairs(folder: Path, given: dict[str, Any]) -> str:
    """Writes texts that belong together, perhaps with scores; returns the name."""
    fields, scores = given["text_fields"], [given["score_field"]] if "score_field" in given else []
    header = [] if fields[0].isdigit() else [[*fields, *scores]]
    rows = [[f"Line {i} {field}." for field in fields] + [str(i % 5) for _ in scores] for i in range(200)]
    (folder / "pairs.csv").write_text("".join(",".join(row) + "\n" for row in header + rows))
    return "pairs.csv"


def labelled_pairs(folder: Path, given: dict[str, Any]) -> str:
    """Writes pairs of texts with labels, in the form that a recipe reads; returns the name."""
    fields = [given.get("first_field", "sentence1"), given.get("second_field", "sentence2")]
    fields.append(given.get("label_field", "label"))
    rows = [[f"Line {i}.", f"It is {i * i}.", str(i % 2)] for i in range(200)]
    if given["files"].endswith(".jsonl"):
        text = "".join(json.dumps(dict(zip(fields, row, strict=True))) + "\n" for row in rows)
    else:
        between = "\t" if given["files"].endswith(".tsv") else ","
        header = [] if isinstance(fields[0], int) else [fields]
        text = "".join(between.join(row) + "\n" for row in header + rows)
    (folder / given["files"]).write_text(text)
    return str(given["files"])


def pretrained(content: Any, text: str) -> None:
    """Makes the folders that networks start from or are taught by, wherever a configuration names one."""
    for value in content if isinstance(content, list) else []:
        pretrained(value, text)
    if not isinstance(content, dict):
        return
    if content.get("class_path") == "plmlight.BERT.from_pretrained":
        tokenizer = train_tokenizer([text], "wordpiece", 200)
        bert = plmlight.BERT(vocabulary_size(tokenizer), d_model=384, num_layers=1, num_heads=2, d_ff=16)
        publish(plmlight.MaskedLM(network=bert), tokenizer, content["init_args"]["folder"])
    elif content.get("class_path") == "plmlight.GPT.from_pretrained":
        tokenizer = train_tokenizer([text], "byte-bpe", 300)
        gpt = plmlight.GPT(vocabulary_size(tokenizer), d_model=16, num_layers=1, num_heads=2)
        publish(plmlight.CausalLM(network=gpt), tokenizer, content["init_args"]["folder"])
    elif content.get("class_path") == "Distillation":
        tokenizer = train_tokenizer([text], "wordpiece", 200)
        bert = plmlight.BERT(vocabulary_size(tokenizer), d_model=16, num_layers=1, num_heads=2)
        publish(plmlight.MaskedLM(network=bert), tokenizer, content["init_args"]["teacher"])
    for value in content.values():
        pretrained(value, text)


def publish(task: plmlight.CausalLM | plmlight.MaskedLM, tokenizer: Tokenizer, folder: str) -> None:
    task.tokenizer = tokenizer
    task.save_pretrained(folder)


def written(folder: Path, lines: list[str], files: str | list[str], fields: dict[str, Any]) -> str:
    """Writes pairs as two files, as columns, or as records with fields; returns the name."""
    if not isinstance(files, str):
        for side, file in enumerate(files):
            (folder / file).write_text("".join(line.split("\t")[side].rstrip("\n") + "\n" for line in lines))
        return str(files)
    text = "".join(lines)
    if "source_field" in fields:
        names = (fields["source_field"], fields["target_field"])
        text = "".join(json.dumps(dict(zip(names, line.split("\t"), strict=True))) + "\n" for line in lines)
    (folder / files).write_text(text)
    return files


class Parsed(TrainingCLI):
    """Reads the configuration and stops there."""

    def instantiate_classes(self) -> None:
        pass


@pytest.mark.parametrize("usage", ["recipe", "shell"])
@pytest.mark.parametrize("path", [NETWORKS[0], GPTS[0], GPTS[-1], NETWORKS[-1], *SEQ2SEQ], ids=name)
def test_a_network_goes_into_a_recipe(path: Path, usage: str, tmp_path: Path) -> None:
    recipe = yaml.safe_load(BASE)
    task = "CausalLM" if path in GPTS else "Seq2Seq" if path in SEQ2SEQ else "MaskedLM"
    recipe["model"] = {"class_path": task, "init_args": {}}
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / path.name).write_text(path.read_text())
    (tmp_path / "pretrain").mkdir()
    words = ["--config", str(tmp_path / "pretrain" / "x.yaml")]
    if usage == "recipe":
        recipe["model"]["init_args"]["network"] = f"../network/{path.name}"
    else:
        words += ["--model.network", str(path)]
    (tmp_path / "pretrain" / "x.yaml").write_text(yaml.safe_dump(recipe))
    network = Parsed("fit", words).config.model.init_args.network
    content = yaml.safe_load(path.read_text())
    assert network.class_path == f"plmlight.{content['class_path']}"
    if "encoder" in content["init_args"]:
        network, content = network.init_args.encoder, content["init_args"]["encoder"]
    assert network.init_args.d_model == content["init_args"]["d_model"]


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_an_export_recipe_is_read(path: Path) -> None:
    assert load_recipe(path).name == path.stem


def test_no_yaml_is_left_out() -> None:
    everywhere = [path for top in ("configs", "export", "plmlight") for path in (ROOT / top).rglob("*.y*ml")]
    assert len(NETWORKS) + len(TRAINING) + len(RECIPES) == len(everywhere)
    assert len(NETWORKS) == 75
    assert TRAINING
    assert RECIPES
