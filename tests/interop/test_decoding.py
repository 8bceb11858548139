"""How published models decode, read from their folders and written again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, GenerationConfig

import plmlight
from plmlight import T5, Seq2Seq
from plmlight.decoding import DecodingOptions, generate
from plmlight.interop import generation_config, read_decoding, read_prefixes
from plmlight.tasks import TorchSequenceModel
from plmlight.text import TextForm
from tests.interop.test_encoder_decoders import reference


def wrote(folder: Path, name: str = "generation_config.json", **values: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    (folder / name).write_text(json.dumps({"model_type": "t5", **values}))
    return folder


MARIAN = {
    "bad_words_ids": [[58100]],
    "decoder_start_token_id": 58100,
    "eos_token_id": 0,
    "forced_eos_token_id": 0,
    "max_length": 512,
    "num_beams": 6,
    "pad_token_id": 58100,
}
BART = {
    "early_stopping": True,
    "eos_token_id": 2,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": [2],
    "length_penalty": 2.0,
    "max_length": 142,
    "min_length": 56,
    "no_repeat_ngram_size": 3,
    "num_beams": 4,
    "do_sample": None,
}


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_published_settings_become_options(name: str, tmp_path: Path) -> None:
    assert read_decoding(wrote(tmp_path, name, **MARIAN)) == {
        "max_new_tokens": 511,
        "num_beams": 6,
        "eos_token_id": 0,
        "forced_eos_token_id": 0,
        "suppress_tokens": [58100],
    }
    assert read_decoding(wrote(tmp_path, name, **BART)) == {
        "max_new_tokens": 141,
        "min_new_tokens": 55,
        "num_beams": 4,
        "length_penalty": 2.0,
        "early_stopping": True,
        "no_repeat_ngram_size": 3,
        "eos_token_id": 2,
        "forced_bos_token_id": 0,
        "forced_eos_token_id": 2,
    }


def test_the_generation_configuration_counts_alone(tmp_path: Path) -> None:
    wrote(tmp_path, num_beams=3)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", "num_beams": 5, "length_penalty": 2.0}))
    assert read_decoding(tmp_path) == {"num_beams": 3}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"temperature": 0.5, "top_k": 9}, {}),
        ({"do_sample": True}, {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0}),
        (
            {"do_sample": True, "temperature": 0.5, "top_k": 9, "top_p": 0.9},
            {"temperature": 0.5, "top_k": 9, "top_p": 0.9, "min_p": 0.0},
        ),
        ({"do_sample": True, "num_beams": 2}, {"num_beams": 2}),
        ({"max_length": 20, "max_new_tokens": 30}, {"max_new_tokens": 30}),
    ],
)
def test_sampling_and_lengths(given: dict[str, Any], found: dict[str, Any], tmp_path: Path) -> None:
    assert read_decoding(wrote(tmp_path, **given)) == found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_beams": 6, "max_new_tokens": 511, "suppress_tokens": [9], "eos_token_id": 0, "forced_eos_token_id": 0},
        {"temperature": 0.7, "top_k": 3, "top_p": 0.9, "min_p": 0.1},
        {"num_beams": 4, "length_penalty": 0.6, "early_stopping": True, "no_repeat_ngram_size": 3, "min_new_tokens": 2},
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "forced_bos_token_id": 3},
    ],
)
def test_options_go_there_and_back(options: dict[str, Any], tmp_path: Path) -> None:
    wrote(tmp_path, **generation_config(options, {"pad_token_id": 0}))
    assert read_decoding(tmp_path) == options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bad_words_ids": [[3, 4]]}, r"bad_words_ids is \[\[3, 4\]\]: only single tokens can be banned"),
        ({"encoder_no_repeat_ngram_size": 3}, "encoder_no_repeat_ngram_size is 3: only 0 is supported"),
        ({"forced_eos_token_id": [1, 2]}, r"forced_eos_token_id is \[1, 2\]: only one token can be forced"),
        ({"num_beams": "many"}, "num_beams must be a whole number"),
    ],
)
def test_what_does_not_exist_here_is_refused(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"generation_config\.json: {message}"):
        read_decoding(wrote(tmp_path, **given))


def test_prefixes_come_along(tmp_path: Path) -> None:
    tasks = {
        "summarization": {"num_beams": 4, "prefix": "summarize: "},
        "translation_en_to_de": {"prefix": "translate English to German: "},
        "none": {"prefix": " "},
    }
    wrote(tmp_path, "config.json", task_specific_params=tasks)
    found = {"summarization": "summarize: ", "translation_en_to_de": "translate English to German: "}
    assert read_prefixes(tmp_path) == found


def test_a_folder_and_a_checkpoint_keep_them(tmp_path: Path) -> None:
    task = Seq2Seq(T5(97, 24, 1, 4))
    task.decoding_defaults = {"num_beams": 3, "length_penalty": 0.6, "eos_token_id": 1, "max_new_tokens": 7}
    task.text_form = TextForm({"de": "to German: "})
    task.save_pretrained(str(tmp_path / "x"))
    again = plmlight.load(tmp_path / "x")
    assert isinstance(again, Seq2Seq)
    assert again.decoding_defaults == task.decoding_defaults
    assert again.text_form == task.text_form
    theirs = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "x").eval()
    ids = torch.randint(2, 97, (1, 9))
    written = theirs.generate(ids)[0, 1:].tolist()
    options = DecodingOptions(**again.decoding_defaults)
    model = TorchSequenceModel(again)
    (found,) = generate(model.read(ids.tolist()), [[0]], options)[0]
    assert found.token_ids == written
    assert written


PUBLISHED: dict[str, dict[str, Any]] = {
    "marian": {"num_beams": 3, "bad_words_ids": [[96]], "forced_eos_token_id": 0, "max_length": 12},
    "bart": {
        "num_beams": 4,
        "early_stopping": True,
        "length_penalty": 2.0,
        "no_repeat_ngram_size": 2,
        "min_length": 5,
        "max_length": 14,
        "forced_bos_token_id": 0,
        "forced_eos_token_id": 2,
    },
    "mbart": {"forced_bos_token_id": 5, "max_length": 9, "decoder_start_token_id": 2},
}


@pytest.mark.parametrize("name", PUBLISHED)
@torch.no_grad()
def test_a_published_model_writes_what_transformers_writes(name: str, tmp_path: Path) -> None:
    theirs = reference(name)
    if name == "marian":
        theirs.final_logits_bias[0, 96] = 9.0  # so that the padding would be written, if it were not suppressed
    theirs.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | PUBLISHED[name]))
    task = plmlight.load(tmp_path)
    assert isinstance(task, Seq2Seq)
    keys = ("eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id")
    settings = {**{key: config[key] for key in keys}, **PUBLISHED[name]}
    ids = torch.randint(3, 90, (3, 7))
    expected = theirs.generate(ids, generation_config=GenerationConfig(**settings))
    model, options = TorchSequenceModel(task), DecodingOptions(**task.decoding_defaults)
    start = [[model.decoder_start_token_id]] * 3
    found = [best.token_ids for best, *_ in generate(model.read(ids.tolist()), start, options)]
    (eos,) = options.eos_token_ids
    rows = [row[1:] for row in expected.tolist()]
    assert found == [row[: row.index(eos) + 1] if eos in row else row for row in rows]
    assert min(map(len, found)) > 3
