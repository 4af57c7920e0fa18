"""Prompts as vectors: a tokenizer of whole words, a text encoder, and its contrastive pre-training.

    prompts ── Tokenizer ──► ids, attention_mask (B, S)
            ── TextEncoder ──► prompt_embeds (B, S, D_text), prompt_positions (B, S, 3)

The encoder is first trained beside a small video encoder, so that a caption and its clip get
similar vectors and all other pairs do not (as CLIP, arXiv:2103.00020, section 2.3 and figure 3). It
goes on learning with the diffusion transformer. The null prompt of guidance is the empty one: EOS
and nothing else. Words that say where something is, as "from x6 y24", have a position among the
patches, as a patch has.
"""

import difflib
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.config import TextConfig
from minisora.inputs import reword
from minisora.layers import Block, RMSNorm, rotary_angles
from minisora.patchify import Size, grid_of, patchify, positions_of

PAD, EOS = 0, 1
VIDEO_PATCH = (1, 2, 2)  # latent frames, rows, columns of a token in `TextVideoPair`
MOMENTS = {  # word → when, as a fraction of the clip
    "from": 0.0,
    "early": 0.25,
    "midway": 0.5,
    "at": 0.5,
    "late": 0.75,
    "to": 1.0,
}
MOMENT, COLUMN, ROW = 1, 2, 3  # kinds of words that say a position; 0 for every other word


def words_of(prompt: str) -> list[str]:
    """Lower-case words without punctuation; a hyphen inside a word stays.

    Two ways to write one letter (é, or e and an accent) are one word: the text is normalised to
    NFC.
    """
    text = unicodedata.normalize("NFC", prompt.lower())
    spaced = "".join(c if c == "-" or _is_part_of_a_word(c) else " " for c in text)
    found = re.findall(r"[^\s-]+(?:-[^\s-]+)*", spaced)
    return [word for word in found if any(c.isalnum() for c in word)]


def _is_part_of_a_word(character: str) -> bool:
    """Letters, digits, and the marks that some scripts put on them."""
    return character.isalnum() or unicodedata.category(character).startswith("M")


class WordPositions(NamedTuple):
    """What each of V words says about a position."""

    kinds: torch.Tensor  # (V,) MOMENT, COLUMN, ROW or 0
    values: torch.Tensor  # (V,) a moment in [0, 1]; a column or row in [-1, 1], 0 is the middle


class Tokenizer:
    """Whole words to numbers. 0 pads, 1 is EOS, the words follow in the order of the vocabulary.

    Args:
        vocabulary: words that the model knows, each once, in lower case.
        max_length: most words of a prompt, EOS included.
        rewordings: phrases that people say, and the words of the vocabulary that mean the same.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_length: int = TextConfig.max_length,
        rewordings: Mapping[str, str] | None = None,
    ):
        self.vocabulary = tuple(vocabulary)
        self.max_length = max_length
        self.rewordings = dict(rewordings or {})
        self.ids = {word: i + 2 for i, word in enumerate(self.vocabulary)}

    def __len__(self) -> int:
        return len(self.vocabulary) + 2

    @property
    def word_positions(self) -> WordPositions:
        """What the words say about positions: "from" a moment, "x6" a column, "y24" a row.

        Columns and rows are cells of a grid, which has as many as the vocabulary has such words.
        """
        kinds = torch.zeros(len(self), dtype=torch.long)
        values = torch.zeros(len(self))
        for word, moment in MOMENTS.items():
            if word in self.ids:
                kinds[self.ids[word]] = MOMENT
                values[self.ids[word]] = moment
        for letter, kind in (("x", COLUMN), ("y", ROW)):
            cells = [word for word in self.vocabulary if re.fullmatch(rf"{letter}\d+", word)]
            for word in cells:
                middle = int(word[1:]) + 0.5  # of the cell, which is one wide
                kinds[self.ids[word]] = kind
                values[self.ids[word]] = 2 * middle / len(cells) - 1
        return WordPositions(kinds, values)

    def words(self, prompt: str) -> list[str]:
        """Split a prompt into words (`words_of`), and replace phrases by what the model knows."""
        return reword(words_of(prompt), self.rewordings)

    def __call__(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn prompts into numbers, padded to the longest.

        Returns:
            ids (B, S) int64 and attention_mask (B, S) bool, True for words and EOS.

        Raises:
            ValueError: a word outside the vocabulary (the nearest are named), or a prompt that is
            too long.
        """
        rows = [self._ids_of(prompt) for prompt in prompts]
        ids = torch.full((len(rows), max(len(row) for row in rows)), PAD)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
        return ids, ids != PAD

    def _ids_of(self, prompt: str) -> list[int]:
        words = self.words(prompt)
        for word in words:
            if word not in self.ids:
                near = difflib.get_close_matches(word, self.vocabulary, n=3, cutoff=0.5)
                raise ValueError(
                    f"the model never met the word {word[:40]!r}; "
                    f"the nearest known words are: {', '.join(near or self.vocabulary[:20])}"
                )
        if len(words) >= self.max_length:
            raise ValueError(
                f"a prompt of {len(words)} words is too long; "
                f"at most {self.max_length - 1} fit: {prompt[:80]!r}"
            )
        return [*(self.ids[word] for word in words), EOS]


class TextEncoder(nn.Module):
    """A small transformer in which every word attends to every other.

    Args:
        word_positions: as from `Tokenizer.word_positions`; None where no word says a position.
    """

    word_kinds: torch.Tensor
    word_values: torch.Tensor

    def __init__(
        self,
        vocabulary_size: int,
        config: TextConfig = TextConfig(),  # noqa: B008
        word_positions: WordPositions | None = None,
    ):
        super().__init__()
        self.config = config
        kinds = torch.zeros(vocabulary_size, dtype=torch.long)
        values = torch.zeros(vocabulary_size)
        if word_positions is not None:
            kinds, values = word_positions
        self.register_buffer("word_kinds", kinds, persistent=False)
        self.register_buffer("word_values", values, persistent=False)
        D = config.hidden_size
        self.embed = nn.Embedding(vocabulary_size, D)
        self.blocks = nn.ModuleList(Block(D, config.num_heads) for _ in range(config.depth))
        self.norm = RMSNorm(D)
        nn.init.normal_(self.embed.weight, std=1.0)

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Turn words into vectors, each of which depends on the other words of its prompt.

        Args:
            ids: (B, S), as from `Tokenizer`.
            attention_mask: (B, S), True for words and EOS, which every word attends to; or
                (B, S, S), True where a word (row) may attend to another (column).

        Returns:
            prompt_embeds (B, S, D_text).
        """
        B, S = ids.shape
        mask = attention_mask.view(B, 1, -1, S)  # (B, 1, 1 or S, S)
        order = torch.arange(S, device=ids.device)[:, None]  # (S, 1): positions along one axis
        rotary = rotary_angles(order, self.config.hidden_size // self.config.num_heads)
        x = self.embed(ids)  # (B, S, D_text)
        for block in self.blocks:
            x = block(x, mask, rotary)
        return self.norm(x)

    def positions(self, ids: torch.Tensor, grid: Size) -> torch.Tensor:
        """Find which positions the words say, among the patches of a grid (t, h, w).

        A moment, a column and a row, one after the other, as "from x6 y24", say one position, and
        all three words have it. Every other word is at zero: in the middle of the first frame.

        Returns:
            (B, S, 3) as frame, row, column, in the units of `positions_of`.
        """
        B, S = ids.shape
        t, h, w = grid
        kinds = self.word_kinds[ids]  # (B, S)
        values = self.word_values[ids]
        is_moment = kinds[:, :-2] == MOMENT  # (B, S - 2): of every word and of the two after it
        is_column = kinds[:, 1:-1] == COLUMN
        is_row = kinds[:, 2:] == ROW
        starts = is_moment & is_column & is_row
        frame = values[:, :-2] * (t - 1)
        column = values[:, 1:-1] * (w / 2)
        row = values[:, 2:] * (h / 2)
        stated = torch.stack([frame, row, column], dim=-1) * starts[..., None]  # (B, S - 2, 3)
        positions = values.new_zeros(B, S, 3)
        for word in range(3):  # first, second and third word of the position
            positions[:, word : word + stated.shape[1]] += stated
        return positions

    def read(
        self, ids: torch.Tensor, grid: Size
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Encode prompts for the transformer: ids (B, S), for clips of a grid (t, h, w).

        Returns:
            prompt_embeds (B, S, D_text), attention_mask (B, S), prompt_positions (B, S, 3).
        """
        attention_mask = ids != PAD
        return self(ids, attention_mask), attention_mask, self.positions(ids, grid)


class TextVideoPair(nn.Module):
    """Two encoders that learn to give a caption and its clip similar vectors.

    Only the text encoder is kept after the language stage (`train_language`).

    Args:
        text: the encoder of captions.
        latent_channels: Cz of the clips.
        hidden_size, depth, num_heads: of the video encoder; both give vectors of `hidden_size`.
    """

    def __init__(
        self,
        text: TextEncoder,
        latent_channels: int,
        hidden_size: int = 128,
        depth: int = 2,
        num_heads: int = 4,
    ):
        super().__init__()
        self.text = text
        self.num_heads = num_heads
        self.embed = nn.Linear(latent_channels * math.prod(VIDEO_PATCH), hidden_size)
        self.blocks = nn.ModuleList(Block(hidden_size, num_heads) for _ in range(depth))
        self.video_out = nn.Linear(hidden_size, hidden_size, bias=False)
        self.text_out = nn.Linear(text.config.hidden_size, hidden_size, bias=False)
        # CLIP's learned temperature: scores are multiplied by its exponential, at most by 100
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def encode_video(self, latents: torch.Tensor) -> torch.Tensor:
        """latents (B, Cz, Tz, Hz, Wz) → unit vectors (B, D), the mean over the patches."""
        grid = grid_of(latents.shape[2:], VIDEO_PATCH)
        positions = positions_of(grid, device=latents.device)
        x = self.embed(patchify(latents, VIDEO_PATCH))  # (B, N, D)
        rotary = rotary_angles(positions, x.shape[-1] // self.num_heads)
        for block in self.blocks:
            x = block(x, rotary=rotary)
        return F.normalize(self.video_out(x.mean(1)).float(), dim=-1)

    def encode_text(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """ids, attention_mask (B, S) → unit vectors (B, D), the mean over the words."""
        x = self.text(ids, attention_mask)  # (B, S, D_text)
        weight = attention_mask[..., None].float()
        mean = (x * weight).sum(1) / weight.sum(1)
        return F.normalize(self.text_out(mean).float(), dim=-1)

    def forward(
        self, latents: torch.Tensor, ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score every clip of a batch with every caption; its own should score highest.

        Args:
            latents: (B, Cz, Tz, Hz, Wz).
            ids, attention_mask: (B, S), caption i of clip i.

        Returns:
            The contrastive loss (figure 3 of arXiv:2103.00020), a scalar in nats: the mean of
            clip → caption and caption → clip. And the fraction of clips, in [0, 1], whose own
            caption scores highest.
        """
        video = self.encode_video(latents)  # (B, D)
        text = self.encode_text(ids, attention_mask)  # (B, D)
        scores = self.logit_scale.exp().clamp(max=100) * video @ text.T  # (B, B)
        own = torch.arange(len(scores), device=scores.device)
        loss = (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
        accuracy = (scores.argmax(1) == own).float().mean()
        return loss, accuracy
