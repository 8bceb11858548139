"""The ARPA format: what is written is read again, and what is wrong is named with its line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from plmlight import CausalLM, NGram, load
from plmlight.text import train_tokenizer
from plmlight.text.arpa import read_arpa, token_names, write_arpa

GOOD = """\
\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.3
-0.7\ta\t-0.2
-0.6\tb
-0.5\t</s>

\\2-grams:
-0.2\ta b
-0.4\tb </s>
-0.1\t<s> a

\\end\\
"""


def file(folder: Path, text: str) -> str:
    (folder / "x.arpa").write_text(text)
    return str(folder / "x.arpa")


def test_a_file_is_read(tmp_path: Path) -> None:
    arpa = read_arpa(file(tmp_path, GOOD))
    assert arpa.words == ["<unk>", "<s>", "a", "b", "</s>"]
    assert arpa.levels[1].ids.tolist() == [[1, 2], [2, 3], [3, 4]]
    np.testing.assert_array_equal(arpa.levels[1].log_probabilities, [-0.1, -0.2, -0.4])
    np.testing.assert_array_equal(arpa.levels[0].log_backoffs, [0, -0.3, -0.2, 0, 0])


def test_a_model_of_a_file_backs_off(tmp_path: Path) -> None:
    network = NGram.from_arpa(file(tmp_path, GOOD))  # unk 0, a 1, b 2, </s> 3
    found = CausalLM(network).eval()(torch.tensor([[3, 1, 1, 2]]))["logits"][0] / np.log(10)
    expected = [
        [-1.3, -0.1, -0.9, -0.8],  # after <s>, for which </s> stands: a follows, else -0.3 and the word's own
        [-1.2, -0.9, -0.2, -0.7],
        [-1.2, -0.9, -0.2, -0.7],
        [-1.0, -0.7, -0.6, -0.4],
    ]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("\\data\\\n", "data\n", 1, "expected \\data\\"),
        ("ngram 2=3", "ngram 3=3", 3, "ngram 2=COUNT"),
        ("ngram 2=3", "ngram 2=4", 17, "3 2-grams stand before this line, but the header says 4"),
        ("ngram 1=5", "ngram 1=4", 12, "5 1-grams"),
        ("\\2-grams:", "\\3-grams:", 12, "expected '\\2-grams:'"),
        ("-0.2\ta b", "-0.2\ta b\t-0.1", 13, "expected a logarithm, 2 words"),
        ("-0.2\ta b", "-0.2\ta", 13, "expected a logarithm, 2 words"),
        ("-0.2\ta b", "x\ta b", 13, "expected a number"),
        ("-0.2\ta b", "0.2\ta b", 13, "at most 0"),
        ("-0.2\ta b", "nan\ta b", 13, "at most 0"),
        ("-0.2\ta b", "-0.2\ta c", 13, "the word 'c' is not among the 1-grams"),
        ("-0.2\ta b", "-0.2\tb </s>", 14, "'b </s>' is there for the second time"),
        ("-0.6\tb\n", "-0.6\ta\n", 9, "'a' is there for the second time"),
        ("\\end\\\n", "", 16, "the file ends here"),
        ("\\end\\", "\\ende\\", 17, "expected \\end\\"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, what: str) -> None:
    path = file(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"x.arpa: line {line}: ") as raised:
        read_arpa(path)
    assert what in str(raised.value)


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x.arpa: line 0: the file is empty"):
        read_arpa(file(tmp_path, ""))


def test_a_model_without_unknown_words_reads_them_all_the_same(tmp_path: Path) -> None:
    text = GOOD.replace("-1.0\t<unk>\n", "").replace("ngram 1=5", "ngram 1=4")
    task = load(file(tmp_path, text))
    assert task.tokenizer is not None
    ids = task.tokenizer.encode("a zebra b").ids
    found = task(torch.tensor([ids]))["logits"][0, 0] / np.log(10)
    torch.testing.assert_close(found[ids], torch.tensor([-0.9, -99.2, -0.2]), atol=1e-5, rtol=0)


def test_a_beginning_that_is_missing_is_named(tmp_path: Path) -> None:
    text = GOOD.replace("ngram 2=3\n", "ngram 2=3\nngram 3=1\n").replace(
        "\\end\\", "\\3-grams:\n-0.1\tb a b\n\n\\end\\"
    )
    with pytest.raises(ValueError, match="line 19: 'b a b' goes on from 'b a', which is not there"):
        read_arpa(file(tmp_path, text))


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("own_start", [False, True])
def test_what_is_written_is_read_again_to_the_last_bit(order: int, own_start: bool, tmp_path: Path) -> None:
    ids = torch.from_numpy(np.random.default_rng(0).zipf(1.3, 2001) % 30)[None]
    network = NGram(30, order)
    network.count({"input_ids": ids[:, :-1], "labels": ids[:, 1:]})
    network.estimate([3, 5] if own_start else [3])
    names = [f"w{i}" for i in range(30)]
    names[3] = "</s>"
    if own_start:  # as of tokenizers that have one token for the beginning and another for the end
        names[5] = "<s>"
    write_arpa(network.to_arpa(names), tmp_path / "x.arpa")
    again = NGram.from_arpa(str(tmp_path / "x.arpa"), names)
    for k in range(1, order + 1):
        for mine, its in zip(network.tables.ngrams(k), again.tables.ngrams(k), strict=True):
            assert torch.equal(mine, its)
    assert torch.equal(CausalLM(network)(ids)["logits"], CausalLM(again)(ids)["logits"])
    assert torch.equal(network.numbers, again.numbers)
    write_arpa(again.to_arpa(names), tmp_path / "y.arpa")
    assert (tmp_path / "y.arpa").read_text() == (tmp_path / "x.arpa").read_text()


def test_tokens_of_white_space_get_names_without(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["a b\tc\nd"], "character", 50)
    names = token_names(tokenizer)
    assert {"<0x20>", "<0x09>", "<0x0A>", "a"} <= set(names)
    assert len(set(names)) == len(names)


def test_words_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the word 'b' is no token"):
        NGram.from_arpa(file(tmp_path, GOOD), ["<unk>", "a", "</s>"])
    with pytest.raises(ValueError, match="the token 'c' has no 1-gram"):
        NGram.from_arpa(file(tmp_path, GOOD), ["<unk>", "a", "b", "c", "</s>"])
