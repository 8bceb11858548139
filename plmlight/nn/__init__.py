from plmlight.nn.attention import PACKED, CrossAttention, KeyValuePrefix, SelfAttention, attend
from plmlight.nn.attentional import AttentionalDecoder, GlobalAttention
from plmlight.nn.cache import cache_of, is_remembered, is_state, past_name, present_name
from plmlight.nn.configured import Configured, build, class_path, config_of
from plmlight.nn.dropout import Dropout, EmbeddingDropout, LockedDropout, dropped
from plmlight.nn.embeddings import Embeddings
from plmlight.nn.encoder import PostNormEncoder
from plmlight.nn.encoder_decoder import StackedEncoderDecoder
from plmlight.nn.feed_forward import FeedForward
from plmlight.nn.initialisation import initialise, initialise_uniform, initialise_xavier, scale_residuals
from plmlight.nn.layer import TransformerLayer
from plmlight.nn.low_rank import LowRank, LowRankLinear, merge_low_rank
from plmlight.nn.masks import (
    Mask,
    bias_of,
    cross_mask,
    positions_of,
    sees_causally,
    sees_document,
    square_mask,
    triangle,
    within_window,
)
from plmlight.nn.positions import LearnedPositions, RelativePositionBias, RotaryPositions, SinusoidalPositions
from plmlight.nn.prompt import PromptableDecoder, PromptedEmbedding, prompt_length, remember_prompts
from plmlight.nn.recurrent import LSTM, TokensFirst
from plmlight.nn.relative import Relation, RelativeAttention, TwoStreamLayer
from plmlight.nn.roles import Cache, Decoder, Encoder, EncoderDecoder, Network, PermutationEncoder, WordVectors
from plmlight.nn.stack import Stack

__all__ = [
    "LSTM",
    "PACKED",
    "AttentionalDecoder",
    "Cache",
    "Configured",
    "CrossAttention",
    "Decoder",
    "Dropout",
    "EmbeddingDropout",
    "Embeddings",
    "Encoder",
    "EncoderDecoder",
    "FeedForward",
    "GlobalAttention",
    "KeyValuePrefix",
    "LearnedPositions",
    "LockedDropout",
    "LowRank",
    "LowRankLinear",
    "Mask",
    "Network",
    "PermutationEncoder",
    "PostNormEncoder",
    "PromptableDecoder",
    "PromptedEmbedding",
    "Relation",
    "RelativeAttention",
    "RelativePositionBias",
    "RotaryPositions",
    "SelfAttention",
    "SinusoidalPositions",
    "Stack",
    "StackedEncoderDecoder",
    "TokensFirst",
    "TransformerLayer",
    "TwoStreamLayer",
    "WordVectors",
    "attend",
    "bias_of",
    "build",
    "cache_of",
    "class_path",
    "config_of",
    "cross_mask",
    "dropped",
    "initialise",
    "initialise_uniform",
    "initialise_xavier",
    "is_remembered",
    "is_state",
    "merge_low_rank",
    "past_name",
    "positions_of",
    "present_name",
    "prompt_length",
    "remember_prompts",
    "scale_residuals",
    "sees_causally",
    "sees_document",
    "square_mask",
    "triangle",
    "within_window",
]
