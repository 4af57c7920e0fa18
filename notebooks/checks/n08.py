"""Notebook 08, Listen to the prompt."""

import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from minisora.sampling import guided
from minisora.text import EOS, TextVideoPair, Tokenizer
from minisora.world.captions import VOCABULARY, parse
from minisora.world.dataset import is_held_out

from .common import called, same, say


def check_guided_velocity(guided_velocity) -> bool:
    """Notebook 08, exercise 1: guided_velocity(both (2B, N, P), scale or scales (B,)) → (B, N, P)."""
    generator = torch.Generator().manual_seed(0)
    for B, N, P in ((1, 6, 4), (3, 5, 2), (2, 2, 3)):
        both = torch.randn(2 * B, N, P, dtype=torch.float64, generator=generator)
        prompt, negative = both[:B], both[B:]
        sigma = torch.ones(B, N)

        def right(
            scale: float, prompt=prompt, negative=negative, both=both, sigma=sigma
        ) -> torch.Tensor:
            model = lambda tokens, sigma, positions, embeds: (
                both if len(tokens) == len(both) else embeds
            )
            return guided(model, None, (prompt,), (negative,), scale)(
                torch.zeros_like(prompt), sigma
            )

        for scale in (2.5, 1.0, 0.0):
            yours = called(guided_velocity, both.clone(), scale)
            if yours is None:
                return say(
                    "guided_velocity gave nothing back; it should return the guided velocity"
                )
            where = f"B = {B}, scale {scale:g}"
            if (
                isinstance(yours, torch.Tensor)
                and yours.shape == prompt.shape
                and not torch.allclose(yours.double(), right(scale), atol=1e-9)
            ):
                miss = float((yours - right(scale)).abs().max())
                return say(
                    f"guided_velocity is off by up to {miss:.3g} for {where}{_guidance_fault(yours, both, scale)}"
                )
            if not same(yours, right(scale), "guided_velocity", where):
                return False
        scales = torch.linspace(0.5, 4.0, B, dtype=torch.float64)
        yours = called(guided_velocity, both.clone(), scales)
        if yours is None:
            return say(
                f"with one scale a clip, a tensor of shape ({B},), there was no answer: line the scales up with (B, N, P)"
            )
        expected = torch.cat(
            [
                prompt[i : i + 1] * s + negative[i : i + 1] * (1 - s)
                for i, s in enumerate(scales.tolist())
            ]
        )
        if (
            isinstance(yours, torch.Tensor)
            and yours.shape == expected.shape
            and not torch.allclose(yours.double(), expected, atol=1e-9)
        ):
            return say(
                "with one scale a clip, the scales run along another axis than the clips: line them up with (B, N, P)"
            )
        if not same(yours, expected, "guided_velocity", f"one scale a clip, B = {B}"):
            return False
    return say("right at 0, at 1, beyond, and with a scale for each clip", True)


def _guidance_fault(yours: torch.Tensor, both: torch.Tensor, scale: float) -> str:
    first, last = both.chunk(2)
    faults = {
        "the halves have changed places: the prompts come first": first + scale * (last - first),
        "this is the paper's 1 + w; here a scale of 1 is off": first + scale * (first - last),
        "the difference points the wrong way": last + scale * (last - first),
        "rows alternate in your reading; the first half are the prompts": both[1::2]
        + scale * (both[0::2] - both[1::2]),
        "the scale should multiply the difference only, not the whole": scale * first,
        "the scale has no effect": first,
        "this is the negative prompt alone": last,
    }
    for words, wrong in faults.items():
        if torch.allclose(yours.double(), wrong, atol=1e-9):
            return f": {words}"
    return ": start at the negative prompt, and go `scale` times as far as the prompt lies from it"


def check_tokenize(tokenize) -> bool:
    """Notebook 08, exercise 2: tokenize(prompts, vocabulary) → ids (B, S) and mask (B, S)."""
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
            return say(f"tokenize gave nothing back for {prompts}; it should return ids and mask")
        if (
            not isinstance(answer, tuple | list)
            or len(answer) != 2
            or not all(isinstance(a, torch.Tensor) for a in answer)
        ):
            return say("tokenize should return two tensors, ids and mask")
        yours, your_mask = answer
        if yours.shape != ids.shape:
            hint = (
                ": is there an end mark after the last word?"
                if yours.ndim == 2 and yours.shape[1] == ids.shape[1] - 1
                else ""
            )
            hint = (
                ": pad to the longest prompt, not further"
                if yours.ndim == 2 and yours.shape[1] > ids.shape[1]
                else hint
            )
            return say(
                f"ids have the shape {tuple(yours.shape)} for {prompts}; it should be {tuple(ids.shape)}{hint}"
            )
        if not torch.equal(yours.long(), ids):
            row = int((yours != ids).any(1).nonzero()[0])
            return say(
                f"ids differ in {int((yours != ids).sum())} places, first for {prompts[row]!r}{_token_fault(yours[row].tolist(), ids[row].tolist())}"
            )
        if your_mask.shape != mask.shape or your_mask.dtype != torch.bool:
            return say(
                f"the mask should be bool of shape {tuple(mask.shape)}, not {your_mask.dtype} of shape {tuple(your_mask.shape)}"
            )
        if not torch.equal(your_mask, mask):
            fault = (
                "the end mark counts"
                if (mask & ~your_mask & (ids == EOS)).any()
                else "padding does not count"
            )
            return say(
                f"the mask is wrong in {int((your_mask != mask).sum())} places for {prompts}: {fault}"
            )
    for prompts, unknown in (
        (["a purple circle"], "purple"),
        (["a red circle", "a red zebra"], "zebra"),
    ):
        try:
            tokenize(prompts, VOCABULARY)
        except ValueError as error:
            if unknown not in str(error):
                return say(f"the error for {prompts[-1]!r} does not name the word {unknown!r}")
        except Exception as error:
            return say(
                f"an unknown word should be a ValueError that names it; {prompts[-1]!r} gave {type(error).__name__}"
            )
        else:
            return say(
                f"{prompts[-1]!r} holds an unknown word, and nothing was raised: a silent guess gives a wrong clip"
            )
    return say("numbers, end marks, padding, mask and errors are right", True)


def _token_fault(yours: list[int], right: list[int]) -> str:
    """What a wrong row of ids looks like."""
    words = [i for i in right if i > EOS]
    if yours and yours[0] == 0 and right[-1] == 0:
        return ": pad behind the words, not before them"
    if EOS in right and EOS not in yours and [i for i in yours if i > EOS] == words:
        return ": the end mark is missing"
    if any(yours[: len(words)] == [i - k for i in words] for k in (1, 2) if words):
        return ": 0 pads and 1 ends, so the first word of the vocabulary has another number"
    if sorted(yours) == sorted(right):
        return ": the right numbers in another order"
    return (
        ": each word should have its place in the vocabulary as given, counted after the two marks"
    )


def check_contrastive_loss(contrastive_loss) -> bool:
    """Notebook 08, exercise 3: contrastive_loss(video (B, D), text (B, D), logit_scale) → a number."""
    generator = torch.Generator().manual_seed(0)
    for (B, D), scale in (((4, 8), math.log(10.0)), ((7, 3), 0.0), ((1, 5), 1.0), ((5, 6), 6.0)):
        video, text = (
            F.normalize(torch.randn(B, D, dtype=torch.float64, generator=generator), dim=-1)
            for _ in range(2)
        )
        scale = torch.tensor(scale, dtype=torch.float64)
        pair = SimpleNamespace(
            logit_scale=scale, encode_video=lambda _, v=video: v, encode_text=lambda *_, t=text: t
        )
        right, _ = TextVideoPair.forward(pair, None, None, None)
        yours = called(contrastive_loss, video.clone(), text.clone(), scale.clone())
        if yours is None:
            return say("contrastive_loss gave nothing back; it should return the loss")
        where = f"B = {B}, D = {D}, logit_scale {float(scale):.2f}"
        if (
            isinstance(yours, torch.Tensor)
            and yours.shape == ()
            and not abs(float(yours) - float(right)) <= 1e-9
        ):
            return say(
                f"contrastive_loss is off by {float(yours) - float(right):+.3g} for {where}{_contrast_fault(float(yours), video, text, scale)}"
            )
        if not same(yours, right, "contrastive_loss", where):
            return False
    return say(
        "right for four batches, one of a single pair, one with the temperature at its limit", True
    )


def _contrast_fault(
    yours: float, video: torch.Tensor, text: torch.Tensor, scale: torch.Tensor
) -> str:
    own, cosines = torch.arange(len(video)), video @ text.T
    rows = lambda s: float(F.cross_entropy(s, own))
    mean = lambda s: (rows(s) + rows(s.T)) / 2
    scores = scale.exp().clamp(max=100) * cosines
    faults = {
        "only clips look for captions; captions look for clips too": rows(scores),
        "only captions look for clips; clips look for captions too": rows(scores.T),
        "the two losses are added; their mean is wanted": rows(scores) + rows(scores.T),
        "the temperature is missing": mean(cosines),
        "logit_scale is a logarithm": mean(scale * cosines),
        "divided by the temperature instead of multiplied": mean(cosines / scale.exp()),
        "the temperature is not held at 100": mean(scale.exp() * cosines),
        "summed over the batch instead of averaged": mean(scores) * len(video),
    }
    for words, value in faults.items():
        if math.isclose(yours, value, rel_tol=1e-9, abs_tol=1e-12):
            return f": {words}"
    return ": row i should find column i, among all columns"


def check_unseen_looks(unseen_looks) -> bool:
    """Notebook 08, exercise 4: unseen_looks(prompts) → sorted list of (shape, color) that no training showed."""
    cases = {
        ("a large pink square moving left", "a red circle"): "",
        (
            "a pink square",
            "a square that is large and pink is rising",
            "a red ring",
        ): "each look once, sorted",
        (
            "a rose box moving left",
            "a sky-blue heart",
            "a green disc",
            "a red hoop",
        ): "some words mean the same: let `parse` read them",
        (
            "a yellow ring hits a blue star from the left",
        ): "a prompt may hold two objects: look at both",
        (
            "a pink circle to the left of a red square, both rising",
        ): "a colour belongs to its own object, not to any shape of the prompt",
        ("a square moving left", ""): "a colour that is left open shows nothing unseen",
    }
    for prompts, hint in cases.items():
        right = sorted(
            {
                (o.shape, o.color)
                for p in prompts
                for o in parse(p).objects
                if is_held_out(o.shape, o.color)
            }
        )
        yours = called(unseen_looks, list(prompts))
        if yours is None:
            return say(
                "unseen_looks gave nothing back; it should return a list, empty where nothing is new"
            )
        if not isinstance(yours, list) or not all(
            isinstance(look, tuple) and len(look) == 2 for look in yours
        ):
            return say("unseen_looks should return a list of pairs (shape, colour)")
        if yours != right:
            if sorted(set(yours)) == right:
                hint = "each look once, sorted"
            elif {look[::-1] for look in yours} == set(right):
                hint = "the shape comes first, then the colour"
            missed, extra = len(set(right) - set(yours)), len(set(yours) - set(right))
            return say(
                f"for {list(prompts)} you miss {missed} and name {extra} too many"
                + (f": {hint}" if hint else "")
            )
    return say("right for synonyms, two objects and open colours", True)
