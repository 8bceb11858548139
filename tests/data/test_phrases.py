from plmlight.data.phrases import Phrases, find_phrases


def test_the_first_of_overlapping_pairs_is_joined() -> None:
    phrases = Phrases((frozenset({("a", "b"), ("b", "c")}),))
    assert phrases.join("a b c b c a") == "a_b c b_c a"


def test_a_later_pass_joins_what_an_earlier_one_made() -> None:
    phrases = Phrases((frozenset({("a", "b")}), frozenset({("a_b", "c")})), lowercase=True)
    assert phrases.join("A b, C!") == "a_b_c"


def test_the_score_is_equation_6() -> None:
    text = ["x y"] * 10 + ["x z"] * 10 + ["q r s t u v"] * 10
    # x y: (10 - 5) * 100 / (20 * 10) = 2.5; q r: (10 - 5) * 100 / (10 * 10) = 5
    assert ("x", "y") in find_phrases(text, 1, threshold=2.4).passes[0]
    assert ("x", "y") not in find_phrases(text, 1, threshold=2.6).passes[0]
    assert ("q", "r") in find_phrases(text, 1, threshold=4.9).passes[0]
    assert find_phrases(text, 1, threshold=5.1).passes[0] == frozenset()
