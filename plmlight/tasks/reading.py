"""What a task with labels reads with: the hidden states of any network that has some for each token of a text."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.heads import pool
from plmlight.nn import Decoder, Encoder, EncoderDecoder, Network


def check_reads(network: Network, task: str) -> None:
    """Refuses a network that has no hidden state for each token of a text.

    Args:
        network: the network.
        task: who asks.

    Raises:
        ValueError: for such a network.
    """
    if not isinstance(network, Encoder | Decoder | EncoderDecoder):
        raise ValueError(f"{task} needs an encoder, a decoder or both, and {type(network).__name__} is none")


def freeze_writers(network: Network, adapter: Adapter | None) -> None:
    """Leaves out of training what only writes, where of an encoder and a decoder the encoder alone reads.

    Args:
        network: what `check_reads` lets through, with its adapter; changed in place.
        adapter: what is trained in the place of its weights.

    Raises:
        ValueError: for an adapter of which nothing is left.
    """
    if not isinstance(network, EncoderDecoder):
        return
    writers = network.writers()
    for part in writers:
        part.requires_grad_(False)
    if adapter is not None and not any(each.requires_grad for each in network.parameters()):
        raise ValueError(adapter.idle(network, writers))


def num_token_types(network: Network) -> int:
    """How many kinds of segments a network tells apart; 0 where it takes none."""
    return network.num_token_types if isinstance(network, Encoder) else 0


def hidden_width(network: Network) -> int:
    """The width of a network's hidden states."""
    return network.output_dim if isinstance(network, Decoder) else network.d_model


def hidden_states(
    network: Network,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    position_ids: Tensor | None = None,
) -> Tensor:
    """Reads texts: an encoder as it is, a decoder from left to right, of both together the encoder.

    Args:
        network: what `check_reads` lets through.
        input_ids: [B, T].
        attention_mask: [B, T], 0 is padding; None where nothing is.
        token_type_ids: [B, T], for encoders that have segments.
        position_ids: [B, T], for encoders, where they are not the reference's.

    Returns:
        [B, T, D].
    """
    if isinstance(network, Encoder):
        read: Tensor = network(input_ids, attention_mask, token_type_ids, position_ids)
    elif isinstance(network, Decoder):
        read, _ = network(input_ids, attention_mask)
    else:
        assert isinstance(network, EncoderDecoder)
        read = network.encode(input_ids, attention_mask)
    return read


def written_states(network: EncoderDecoder, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Reads texts with both halves: the encoder, and a decoder that writes the text again, as BART classifies.

    Lewis et al. 2019, arXiv:1910.13461, section 3.1: at a text's last token the decoder has seen all of it.

    Args:
        network: both.
        input_ids: [B, T].
        attention_mask: [B, T], 0 is padding; None where nothing is.

    Returns:
        The decoder's [B, T, D].
    """
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    begins = F.pad(mask[:, :-1], (1, 0)) == 0  # before a text's first token there is none, or padding
    written = F.pad(input_ids[:, :-1], (1, 0)).masked_fill(begins, network.decoder_start_token_id)
    read: Tensor = network(input_ids, written, attention_mask, attention_mask)
    return read


def pooled(network: Network, hidden: Tensor, attention_mask: Tensor | None, how: str) -> Tensor:
    """Hidden states [B, T, D] as one vector [B, D]; ``cls`` is the token that has seen all: a decoder's last one."""
    last = isinstance(network, Decoder) or (isinstance(network, Encoder) and network.cls_last)
    return pool(hidden, attention_mask, how, last=last)
