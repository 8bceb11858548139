"""Arguments of predicates as the scorer of CoNLL-2005 counts them."""

from plmlight.metrics.roles import arguments_of, role_counts


def tags(text: str) -> list[str]:
    return text.split()


def test_arguments_are_spans_with_a_role() -> None:
    found = arguments_of(tags("B-A0 I-A0 B-V B-A1 B-R-A1 O"))
    assert found == [("A0", (0,), (2,)), ("A1", (3,), (4,)), ("R-A1", (4,), (5,))]


def test_the_predicate_is_no_argument() -> None:
    assert arguments_of(tags("B-V I-V O B-C-V")) == []


def test_a_continuation_belongs_to_the_last_argument_of_its_role() -> None:
    assert arguments_of(tags("B-A1 B-A1 B-V B-C-A1 O B-C-A1")) == [("A1", (0,), (1,)), ("A1", (1, 3, 5), (2, 4, 6))]


def test_a_continuation_of_nothing_is_an_argument() -> None:
    assert arguments_of(tags("B-C-A1 I-C-A1 B-V")) == [("A1", (0,), (2,))]


def test_an_argument_is_right_when_all_of_it_is() -> None:
    gold = [tags("B-A0 B-V B-A1 O B-C-A1"), tags("B-A0 B-V O O O")]
    said = [tags("B-A0 B-V B-A1 O O"), tags("B-A0 O B-A1 O O")]
    scores = role_counts(gold, said).scores()
    assert (scores["f1_A0"], scores["f1_A1"]) == (100, 0)
    assert (scores["precision"], scores["recall"]) == (50, 100 * 2 / 3)
    assert scores["macro_f1"] == 50
    assert "f1_V" not in scores
