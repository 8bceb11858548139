import torch

from plmlight.nn import bias_of, positions_of, sees_causally, sees_document, triangle, within_window

MASK = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 2, 2, 3, 0], [1, 1, 1, 1, 0, 0]])


def test_a_decoder_sees_earlier_tokens_of_its_document() -> None:
    for length in (1, 4, 6):
        seen = sees_causally(MASK, length)
        assert seen.shape == (3, length, 6)
        for b, row in enumerate(MASK.tolist()):
            for t in range(length):
                at = 6 - length + t
                assert seen[b, t].tolist() == [s <= at and row[s] == row[at] and row[s] > 0 for s in range(6)]


def test_an_encoder_sees_its_document_both_ways() -> None:
    queries = torch.tensor([[1, 2, 0]])
    keys = torch.tensor([[2, 1, 0, 1]])
    expected = [[False, True, False, True], [True, False, False, False], [False] * 4]
    assert sees_document(queries, keys)[0].tolist() == expected


def test_positions_restart_with_each_document_and_ignore_left_padding() -> None:
    found = positions_of(sees_causally(MASK, 6))
    assert found.tolist() == [[0, 0, 0, 1, 2, 3], [0, 1, 0, 1, 0, 0], [0, 1, 2, 3, 0, 0]]


def test_the_triangle_ends_at_the_last_key() -> None:
    assert triangle(2, 4).tolist() == [[True, True, True, False], [True, True, True, True]]


def test_a_window_holds_the_token_and_those_just_before() -> None:
    band = triangle(2, 5) & within_window(2, 5, 3)
    assert band.int().tolist() == [[0, 1, 1, 1, 0], [0, 0, 1, 1, 1]]


def test_a_bias_is_an_exact_zero_after_softmax_and_finite_in_float16() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        bias = bias_of(triangle(3, 3), dtype)
        assert bias.shape == (1, 1, 3, 3)
        assert bias.dtype == dtype
        assert bias.to(torch.float16).isfinite().all()
        weights = (bias.float() + torch.randn(3, 3) * 10).softmax(-1)[0, 0]
        assert (weights[~triangle(3, 3)] == 0).all()
