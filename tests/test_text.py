import pytest
import torch

from minisora.config import TextConfig
from minisora.text import END, PAD, TextEncoder, TextVideoPair, Tokenizer

WORDS = ("a", "red", "blue", "circle")


def test_tokens_and_mask():
    ids, mask = Tokenizer(WORDS)(["A red, circle!", ""])
    assert ids.tolist() == [[2, 3, 5, END], [END, PAD, PAD, PAD]]
    assert mask.tolist() == [[True] * 4, [True, False, False, False]]
    assert Tokenizer([]).words("Ein Mädchen läuft; красный_круг") == ["ein", "mädchen", "läuft", "красный", "круг"]


def test_mistakes():
    with pytest.raises(ValueError, match=r"never met the word 'bleu'.*blue"):
        Tokenizer(WORDS)(["a bleu circle"])
    with pytest.raises(ValueError, match="too long"):
        Tokenizer(WORDS, max_length=4)(["a a a a"])


@torch.no_grad()
def test_padding_changes_nothing():
    encoder = TextEncoder(6, TextConfig(hidden_size=32, depth=2, num_heads=2)).eval()
    tokenizer = Tokenizer(WORDS)
    alone = encoder(*tokenizer(["red circle"]))
    padded = encoder(*tokenizer(["red circle", "a a a a a red circle"]))
    assert torch.allclose(alone[0], padded[0, : alone.shape[1]], atol=1e-5)


@torch.no_grad()
def test_word_order_matters():
    encoder = TextEncoder(6, TextConfig(hidden_size=32, depth=2, num_heads=2)).eval()
    a, b = encoder(*Tokenizer(WORDS)(["red blue", "blue red"]))
    assert (a[2] - b[2]).abs().max() > 1e-4


def test_the_pair_learns_who_belongs_to_whom():
    torch.manual_seed(0)
    pair = TextVideoPair(TextEncoder(6, TextConfig(hidden_size=32, depth=1, num_heads=2)), 8, hidden_size=32, depth=1, num_heads=2)
    ids, mask = Tokenizer(WORDS)(["red", "blue", "circle", "a"])
    latents = torch.randn(4, 8, 2, 4, 4)
    optimizer = torch.optim.Adam(pair.parameters(), lr=3e-3)
    first = pair(latents, ids, mask)[0].item()
    for _ in range(60):
        loss, accuracy = pair(latents, ids, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3 * first and accuracy == 1
