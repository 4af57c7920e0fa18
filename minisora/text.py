"""Prompts as vectors: a tokenizer of whole words, and a text encoder.

    prompts ── Tokenizer ──► ids, attention_mask (B, S)
            ── TextEncoder ──► prompt_embeds (B, S, D_text), prompt_positions (B, S, 3)

The encoder is first trained beside a small video encoder (train/contrastive.py), and goes on
learning with the diffusion transformer. The null prompt of guidance is the empty one: EOS
and nothing else. Words that say where something is, as "from x6 y24", have a position among the
patches, as a patch has.
"""

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn as nn

from minisora.config import TextConfig
from minisora.inputs import reword
from minisora.layers import Block, RMSNorm, rotary_angles
from minisora.patchify import Size

PAD, EOS = 0, 1
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
