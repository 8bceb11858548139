import torch

from plmlight.nn import Embeddings


def test_one_segment_vector_serves_all_segments() -> None:
    torch.manual_seed(0)
    embeddings = Embeddings(11, 6, 5, num_token_types=1).eval()
    ids, positions = torch.randint(11, (2, 5)), torch.arange(5)[None]
    wanted = embeddings(ids, positions)
    assert torch.equal(embeddings(ids, positions, torch.tensor([0, 0, 1, 1, 1]).expand(2, 5)), wanted)


def test_segments_are_told_apart() -> None:
    torch.manual_seed(0)
    embeddings = Embeddings(11, 6, 5, num_token_types=2).eval()
    ids, positions = torch.randint(11, (1, 5)), torch.arange(5)[None]
    differs = embeddings(ids, positions) != embeddings(ids, positions, torch.tensor([[0, 1, 0, 1, 1]]))
    assert differs.any(-1).tolist() == [[False, True, False, True, True]]
