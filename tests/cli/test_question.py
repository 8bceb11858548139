import plmlight
from plmlight.cli.question import question
from plmlight.text import train_tokenizer, vocabulary_size


def test_word_vectors_are_asked_for_a_word_that_they_have() -> None:
    tokenizer = train_tokenizer(["the cat and the dog"] * 3, "word", 10)
    task = plmlight.WordVectorModel(network=plmlight.Word2Vec(vocabulary_size(tokenizer), d_model=4))
    task.tokenizer = tokenizer
    assert question(task) == '--text "the"'
