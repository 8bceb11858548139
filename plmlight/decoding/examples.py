"""Texts that trained models are compared on."""

TEXTS = (
    "The children played in the garden until it was dark.",
    "Prices rose by three percent in the last quarter, the bank said on Monday.",
    "She could not remember where she had left the keys to the house.",
    "Water boils at one hundred degrees.",
    "The old man sat by the river and told a story about the war.",
    "A new law on the safety of food will come into force next year.",
    "Is there a train to the city in the morning?",
    "The team won the first game of the season and lost the second one.",
    "He plays the violin.",
    "The patient was given a small dose of the medicine twice a day.",
    "def area(width, height): return width * height",
    "今天天气很好，我们去公园吧。",
    "北京是中国的首都。",
    "这本书我看了三遍，还是不太明白。",
    "他们昨天在上海开了一个会。",
    "The quick brown fox jumps over the lazy dog.",
)
"""Texts that trained models are compared on; what a tokenizer does not know of them is an unknown token."""
