import unicodedata

import pytest
import torch

from minisora.config import TextConfig
from minisora.text import EOS, MOMENTS, PAD, TextEncoder, Tokenizer, words_of
from minisora.train.contrastive import TextVideoPair
from minisora.world.captions import WHEN, moments

WORDS = ("a", "red", "blue", "circle")


def test_tokens_and_mask():
    ids, mask = Tokenizer(WORDS)(["A red, circle!", ""])
    assert ids.tolist() == [[2, 3, 5, EOS], [EOS, PAD, PAD, PAD]]
    assert mask.tolist() == [[True] * 4, [True, False, False, False]]
    assert Tokenizer([]).words("Ein Mädchen läuft; красный_круг") == [
        "ein",
        "mädchen",
        "läuft",
        "красный",
        "круг",
    ]


@pytest.mark.parametrize(
    "text,words",
    [
        ("Café, \u0130stanbul", ["café", unicodedata.normalize("NFC", "i\u0307stanbul")]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("ภาษาไทย", ["ภาษาไทย"]),
        ("Việt Nam", ["việt", "nam"]),
        ("שָׁלוֹם", [unicodedata.normalize("NFC", "שָׁלוֹם")]),
        ("한국어 プログラム", ["한국어", "プログラム"]),
        ("red-ish -- -blue- sky-blue", ["red-ish", "blue", "sky-blue"]),
        ("a red circle ❤️!", ["a", "red", "circle"]),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_words_are_whole_however_their_letters_are_written(text, words, form):
    written = unicodedata.normalize(form, text)
    assert words_of(written) == words
    Tokenizer(words)([written])


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


def test_words_that_say_where_have_positions():
    tokenizer = Tokenizer(
        [
            "a",
            "ball",
            "from",
            "early",
            "midway",
            "late",
            "to",
            "at",
            "of",
            *(f"{axis}{i}" for axis in "xy" for i in range(8)),
        ]
    )
    encoder = TextEncoder(
        len(tokenizer), TextConfig(hidden_size=32, depth=1, num_heads=2), tokenizer.word_positions
    )
    ids, mask = tokenizer(
        [
            "a ball, from x0 y7 early x1 y6 midway x3 y4 late x6 y1 to x7 y0",
            "a ball at x4 y4 to of from x1",
        ]
    )
    embeds, seen, positions = encoder.read(ids, (5, 4, 6))
    assert (
        torch.equal(seen, mask)
        and embeds.shape == (*ids.shape, 32)
        and positions.shape == (*ids.shape, 3)
    )
    corner = [
        1.75,
        -2.625,
    ]  # the middle of the lowest eighth of four rows, and of the leftmost eighth of six columns
    places = [
        [0.0, *corner],
        [1.0, 1.25, -1.875],
        [2.0, 0.25, -0.375],
        [3.0, -1.25, 1.875],
        [4.0, -1.75, 2.625],
    ]
    assert positions[0].tolist() == [[0.0] * 3] * 2 + [
        place for place in places for _ in range(3)
    ] + [[0.0] * 3]
    assert positions[1].tolist() == [[0.0] * 3] * 2 + [[2.0, 0.25, 0.375]] * 3 + [[0.0] * 3] * 13, (
        "half a place is none"
    )
    assert encoder.positions(ids[:, :1], (5, 4, 6)).abs().max() == 0, "a prompt of one word"
    assert TextEncoder(len(tokenizer)).positions(ids, (5, 4, 6)).abs().max() == 0


def test_moments_are_those_of_captions():
    assert [16 * MOMENTS[word] for word in WHEN] == moments(17) and MOMENTS.keys() == {*WHEN, "at"}


def test_the_pair_learns_who_belongs_to_whom():
    torch.manual_seed(0)
    pair = TextVideoPair(
        TextEncoder(6, TextConfig(hidden_size=32, depth=1, num_heads=2)),
        8,
        hidden_size=32,
        depth=1,
        num_heads=2,
    )
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
