"""Notebook 08, Listen to the prompt."""

import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from minisora.sampling import guided
from minisora.text import EOS, Tokenizer
from minisora.train.contrastive import TextVideoPair
from minisora.world.captions import VOCABULARY
from minisora.world.dataset import is_held_out
from minisora.world.parse import parse

from .common import Function, called, number, same, same_number, say

# --------------------------------------------------------------------------------- 1 guidance


def check_guided_velocity(guided_velocity: Function) -> bool:
    """Exercise 1: guided_velocity(both (2B, N, P), scale or scales (B,)) → (B, N, P)."""
    generator = torch.Generator().manual_seed(0)
    for B, N, P in ((1, 6, 4), (3, 5, 2), (2, 2, 3)):
        both = torch.randn(2 * B, N, P, dtype=torch.float64, generator=generator)
        for scale in (2.5, 1.0, 0.0):
            answer = called(guided_velocity, both.clone(), scale)
            if answer is None:
                return False
            where = f"B = {B}, scale {scale:g}"
            right = _guided(both, scale)
            mistakes = _guidance_mistakes(both, scale)
            hint = "start at the negative prompt, and go `scale` times as far as the prompt is"
            if not same(answer, right, "guided_velocity", where, mistakes, otherwise=hint):
                return False
        scales = torch.linspace(0.5, 4.0, B, dtype=torch.float64)
        answer = called(guided_velocity, both.clone(), scales)
        if answer is None:
            return say(
                f"this was one scale for each clip, of shape ({B},): line them up with (B, N, P)"
            )
        prompt, negative = both.chunk(2)
        right = negative + scales[:, None, None] * (prompt - negative)
        where = f"one scale for each clip, B = {B}"
        hint = "the scales run along another axis than the clips: line them up with (B, N, P)"
        if not same(answer, right, "guided_velocity", where, otherwise=hint):
            return False
    return say("right at 0, at 1, beyond, and with a scale for each clip", True)


def _guided(both: torch.Tensor, scale: float) -> torch.Tensor:
    """The package's answer, from a network that knows both velocities."""
    prompt, negative = both.chunk(2)

    def network(tokens, sigma, positions, embeds):
        return both if len(tokens) == len(both) else embeds

    velocity = guided(network, None, (prompt,), (negative,), scale)
    return velocity(torch.zeros_like(prompt), torch.ones(prompt.shape[:2]))


def _guidance_mistakes(both: torch.Tensor, scale: float) -> dict[str, torch.Tensor]:
    prompt, negative = both.chunk(2)
    even, odd = both[0::2], both[1::2]
    return {
        "the halves are swapped: the prompts come first": prompt + scale * (negative - prompt),
        "this is the paper's 1 + w; here a scale of 1 is off": prompt + scale * (prompt - negative),
        "the difference points the wrong way": negative + scale * (negative - prompt),
        "this reads alternate rows; the first half are the prompts": odd + scale * (even - odd),
        "the scale should multiply the difference only, not the whole": scale * prompt,
        "the scale has no effect": prompt,
        "this is the negative prompt alone": negative,
        "this is both halves; one velocity for each clip is asked for": both,
    }


# -------------------------------------------------------------------------------- 2 tokenizer


def check_tokenize(tokenize: Function) -> bool:
    """Exercise 2: tokenize(prompts, vocabulary) → ids (B, S) and mask (B, S)."""
    batches = (
        (["a red circle"], VOCABULARY),
        (["a red circle", "", "a large blue star moving left"], VOCABULARY),
        (["A Red, Circle!", "sky-blue ring."], VOCABULARY),
        (["b a", "c"], ("c", "b", "a")),
    )
    for prompts, vocabulary in batches:
        ids, mask = Tokenizer(vocabulary)(prompts)
        answer = called(tokenize, list(prompts), vocabulary)
        if answer is None:
            return False
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            return say("tokenize should return two tensors, ids and mask")
        your_ids, your_mask = answer
        if not isinstance(your_ids, torch.Tensor) or not isinstance(your_mask, torch.Tensor):
            return say("tokenize should return two tensors, ids and mask")
        hint = _token_mistake(your_ids, ids, prompts)
        if not same(your_ids, ids, "ids", f"{prompts}", tolerance=0.0, otherwise=hint):
            return False
        if your_mask.dtype != torch.bool:
            return say(f"the mask should be torch.bool, not {your_mask.dtype}")
        hint = "padding does not count"
        if your_mask.shape == mask.shape and (mask & ~your_mask & (ids == EOS)).any():
            hint = "EOS counts"
        if not same(your_mask, mask, "the mask", f"{prompts}", tolerance=0.0, otherwise=hint):
            return False
    for prompts, unknown in (
        (["a purple circle"], "purple"),
        (["a red circle", "a red zebra"], "zebra"),
    ):
        if not _names_unknown(tokenize, prompts, unknown):
            return False
    return say("ids, EOS, padding, mask and errors are right", True)


def _token_mistake(yours: torch.Tensor, ids: torch.Tensor, prompts: list[str]) -> str:
    """What is wrong with the shape, or with the first row of ids that is wrong."""
    if yours.ndim == 2 and yours.shape[1] == ids.shape[1] - 1:
        return "is there an EOS after the last word?"
    if yours.ndim == 2 and yours.shape[1] > ids.shape[1]:
        return "pad to the longest prompt, not further"
    if yours.shape != ids.shape or torch.equal(yours.long(), ids):
        return ""
    row = int((yours != ids).any(1).nonzero()[0])
    return f"first in {prompts[row]!r}, {_row_mistake(yours[row].tolist(), ids[row].tolist())}"


def _row_mistake(yours: list[int], right: list[int]) -> str:
    words = [i for i in right if i > EOS]
    if yours[0] == 0 and right[-1] == 0:
        return "pad behind the words, not before them"
    if EOS not in yours and [i for i in yours if i > EOS] == words:
        return "EOS is missing"
    for shift in (1, 2):
        if words and yours[: len(words)] == [i - shift for i in words]:
            return "0 pads and 1 is EOS, so the first word of the vocabulary has another id"
    if sorted(yours) == sorted(right):
        return "the right ids in another order"
    return "an id is the word's index in the vocabulary, counted after padding and EOS"


def _names_unknown(tokenize: Function, prompts: list[str], unknown: str) -> bool:
    """Whether an unknown word is a ValueError that names it."""
    try:
        tokenize(prompts, VOCABULARY)
    except ValueError as error:
        if unknown in str(error):
            return True
        return say(f"the error for {prompts[-1]!r} does not name the word {unknown!r}")
    except Exception as error:
        got = type(error).__name__
        return say(f"an unknown word should be a ValueError; {prompts[-1]!r} gave {got}")
    return say(
        f"{prompts[-1]!r} holds an unknown word, and nothing was raised:"
        " a silent guess gives a wrong clip"
    )


# -------------------------------------------------------------------------- 3 contrastive loss


def check_contrastive_loss(contrastive_loss: Function) -> bool:
    """Exercise 3: contrastive_loss(video (B, D), text (B, D), logit_scale) → a number."""
    generator = torch.Generator().manual_seed(0)
    for (B, D), scale in (((4, 8), math.log(10.0)), ((7, 3), 0.0), ((1, 5), 1.0), ((5, 6), 6.0)):
        both = torch.randn(2, B, D, dtype=torch.float64, generator=generator)
        video, text = F.normalize(both, dim=-1)
        logit_scale = torch.tensor(scale, dtype=torch.float64)
        answer = called(contrastive_loss, video.clone(), text.clone(), logit_scale.clone())
        if answer is None:
            return False
        loss = number(answer, "contrastive_loss")
        if loss is None:
            return False
        right = _contrast(video, text, logit_scale)
        where = f"B = {B}, D = {D}, logit_scale {scale:.2f}"
        mistakes = _contrast_mistakes(video, text, logit_scale)
        hint = "row i should find column i, among all columns"
        if not same_number(loss, right, "contrastive_loss", where, mistakes, hint):
            return False
    return say("right for four batches, one of a single pair, one at the limit of 100", True)


def _contrast(video: torch.Tensor, text: torch.Tensor, logit_scale: torch.Tensor) -> float:
    """The package's loss, of embeddings that are known."""
    pair = SimpleNamespace(
        logit_scale=logit_scale,
        encode_video=lambda _: video,
        encode_text=lambda *_: text,
    )
    return float(TextVideoPair.forward(pair, None, None, None)[0])


def _contrast_mistakes(
    video: torch.Tensor, text: torch.Tensor, logit_scale: torch.Tensor
) -> dict[str, float]:
    own = torch.arange(len(video))
    cosines = video @ text.T
    scores = logit_scale.exp().clamp(max=100) * cosines

    def by_row(table: torch.Tensor) -> float:
        return float(F.cross_entropy(table, own))

    def mean(table: torch.Tensor) -> float:
        return (by_row(table) + by_row(table.T)) / 2

    return {
        "only clips look for captions; captions look for clips too": by_row(scores),
        "only captions look for clips; clips look for captions too": by_row(scores.T),
        "the two losses are added; their mean is wanted": 2 * mean(scores),
        "the temperature is missing": mean(cosines),
        "logit_scale is a logarithm": mean(logit_scale * cosines),
        "divided by the temperature instead of multiplied": mean(cosines / logit_scale.exp()),
        "the temperature is not held at 100": mean(logit_scale.exp() * cosines),
        "summed over the batch instead of averaged": mean(scores) * len(video),
    }


# ------------------------------------------------------------------------------ 4 unseen pairs


UNSEEN = {
    ("a large pink square moving left", "a red circle"): "",
    (
        "a pink square",
        "a square that is large and pink is rising",
        "a red ring",
    ): "each pair once, sorted",
    (
        "a rose box moving left",
        "a sky-blue heart",
        "a green disc",
        "a red hoop",
    ): "some words mean the same: let `parse` read them",
    (
        "a yellow ring hits a blue star from the left",
    ): "a prompt may hold two objects: read them both",
    (
        "a pink circle to the left of a red square, both rising",
    ): "a colour belongs to its own object, not to any shape of the prompt",
    ("a square moving left", ""): "a colour that is left open shows nothing unseen",
}


def check_unseen_pairs(unseen_pairs: Function) -> bool:
    """Exercise 4: unseen_pairs(prompts) → sorted list of (shape, color) that no training showed."""
    for prompts, hint in UNSEEN.items():
        objects = [obj for prompt in prompts for obj in parse(prompt).objects]
        pairs = {(obj.shape, obj.color) for obj in objects}
        right = sorted(pair for pair in pairs if is_held_out(*pair))
        answer = called(unseen_pairs, list(prompts))
        if answer is None:
            return False
        is_list = isinstance(answer, list)
        if not is_list or not all(isinstance(p, tuple) and len(p) == 2 for p in answer):
            return say("unseen_pairs should return a list of pairs (shape, colour)")
        if answer == right:
            continue
        if sorted(set(answer)) == right:
            hint = "each pair once, sorted"
        elif {pair[::-1] for pair in answer} == set(right):
            hint = "the shape comes first, then the colour"
        missed = len(set(right) - set(answer))
        extra = len(set(answer) - set(right))
        hint = f": {hint}" if hint else ""
        return say(f"for {list(prompts)} you miss {missed} and name {extra} too many{hint}")
    return say("right for synonyms, two objects and open colours", True)
