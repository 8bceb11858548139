import math


def perplexity(loss: float, count: float) -> float:
    """The exponential of the mean loss (Jelinek et al. 1977).

    Args:
        loss: summed, in nats.
        count: of the predicted tokens.

    Returns:
        1 for a perfect model, the vocabulary's size for one that knows nothing; infinite where it is beyond a float.
    """
    mean = loss / max(count, 1.0)
    return math.exp(mean) if mean < 700 else math.inf


def bits_per_byte(loss: float, num_bytes: float) -> float:
    """The compressed size of a text in bits, per byte of it: comparable between tokenizers, as perplexity is not.

    Args:
        loss: summed over the text, in nats.
        num_bytes: of the text in UTF-8.

    Returns:
        The bits; infinite for no text.
    """
    return loss / math.log(2) / num_bytes if num_bytes else math.inf
