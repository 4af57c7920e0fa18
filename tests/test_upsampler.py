import pytest
import torch

from minisora.config import TextConfig
from minisora.text import PAD, Tokenizer
from minisora.upsampler import PromptUpsampler
from minisora.world.captions import VOCABULARY

CONFIG = TextConfig(hidden_size=32, depth=2, num_heads=2, max_length=12)
TOKENIZER = Tokenizer(VOCABULARY, CONFIG.max_length)


@pytest.fixture
def upsampler():
    torch.manual_seed(0)
    upsampler = PromptUpsampler(len(TOKENIZER), CONFIG)
    torch.nn.init.normal_(upsampler.head.weight, std=0.1)
    return upsampler.eval()


@torch.no_grad()
def test_a_word_sees_only_the_words_before_it(upsampler):
    ids, mask = TOKENIZER(["a red circle falling at x3 y4"])
    changed = ids.clone()
    changed[0, 4] = ids[0, 1]
    before, after = upsampler(ids, mask), upsampler(changed, mask)
    assert torch.equal(before[:, :4], after[:, :4]) and not torch.allclose(
        before[:, 5:], after[:, 5:]
    )
    longer, more = TOKENIZER(["a red circle falling at x3 y4", "a a a a a a a a a"])
    assert torch.allclose(upsampler(longer, more)[0, : ids.shape[1]], before[0], atol=1e-5), (
        "padding changes nothing"
    )


def test_the_loss_counts_what_was_added_and_nothing_else(upsampler):
    ids, _ = TOKENIZER(["red circle", "red circle at x3 y4", "blue star", "blue star at x3 y4"])
    plain, detailed = ids[::2], ids[1::2]
    scores = upsampler(detailed, detailed != PAD).log_softmax(-1)
    wanted = -torch.stack(
        [scores[b, s, detailed[b, s + 1]] for b in (0, 1) for s in (1, 2, 3, 4)]
    ).mean()  # at, x3, y4, the end
    assert upsampler.loss(plain, detailed).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_before_training_nothing_is_added():
    prompts = ["a red circle", "blue star spinning", ""]
    assert (
        PromptUpsampler(len(TOKENIZER), CONFIG)
        .eval()
        .upsample(prompts, TOKENIZER, torch.Generator().manual_seed(0))
        == prompts
    )


@pytest.mark.slow
def test_it_learns_where_things_are_and_the_seed_decides_among_ways():
    torch.manual_seed(0)
    upsampler = PromptUpsampler(len(TOKENIZER), CONFIG)
    ways = {"red circle": ["at x3 y4", "at x9 y4"], "blue star spinning": ["at x1 y2"]}
    pairs = [(plain, f"{plain}, {way}") for plain, several in ways.items() for way in several]
    ids, _ = TOKENIZER([text for pair in pairs for text in pair])
    optimizer = torch.optim.Adam(upsampler.parameters(), lr=1e-2)
    for _ in range(150):
        loss = upsampler.loss(ids[::2], ids[1::2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    upsampler.eval()
    prompts = ["red circle", "blue star spinning", ""]

    def seeded(seed):
        return upsampler.upsample(prompts, TOKENIZER, torch.Generator().manual_seed(seed))

    seen = [seeded(seed) for seed in range(20)]
    assert {s[0] for s in seen} == {"red circle, at x3 y4", "red circle, at x9 y4"}
    assert {s[1] for s in seen} == {"blue star spinning, at x1 y2"} and {s[2] for s in seen} == {""}
    assert seeded(3) == seen[3]
    alone = upsampler.upsample(["blue star spinning"], TOKENIZER, torch.Generator().manual_seed(0))
    assert alone == ["blue star spinning, at x1 y2"], (
        "a row does not depend on its neighbours' lengths"
    )


def test_a_sentence_never_outgrows_the_tokenizer(upsampler):
    upsampler.head.bias.data[1] = -1e4  # never the end
    (text,) = upsampler.upsample(["red circle"], TOKENIZER, torch.Generator().manual_seed(0))
    assert len(TOKENIZER.words(text)) == CONFIG.max_length - 1
    TOKENIZER([text])
    full, grown = upsampler.upsample(
        ["a " * 11, "red circle."], TOKENIZER, torch.Generator().manual_seed(0)
    )
    assert (
        full == "a " * 11
        and grown.startswith("red circle, ")
        and len(TOKENIZER.words(grown)) == CONFIG.max_length - 1
    ), "one full row stops no other"
    with pytest.raises(ValueError, match="never met the word 'purple'"):
        upsampler.upsample(["purple circle"], TOKENIZER)
