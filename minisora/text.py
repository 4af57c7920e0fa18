"""Prompts as vectors: a tokenizer of whole words, a text encoder, and the pair that teaches it what words look like.

    prompts ── Tokenizer ──► ids, attention_mask (B, S) ── TextEncoder ──► prompt_embeds (B, S, D_text), prompt_positions (B, S, 3)

The encoder is first trained beside a small video encoder, so that a caption and its clip land in the same place and all other
pairs do not (contrastive, as in the model CLIP, arXiv:2103.00020, section 2.3 and figure 3), and goes on learning with the diffusion transformer.
The null prompt of guidance is the empty one: an end mark and nothing else. Words that say where something is, as in "from x6 y24", have
a place among the patches: to the transformer they are tokens that lie there.
"""

import difflib
import math
import re
from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.config import TextConfig
from minisora.layers import Block, RMSNorm, rotary_angles
from minisora.patchify import Size, patchify, positions_of

PAD, EOS = 0, 1
MOMENTS = {
    "from": 0.0,
    "early": 0.25,
    "midway": 0.5,
    "at": 0.5,
    "late": 0.75,
    "to": 1.0,
}  # when something is where the next two words say, as a share of the clip


class Tokenizer:
    """Whole words to numbers. 0 pads, 1 ends a prompt, the words follow in the order given."""

    def __init__(self, vocabulary: Sequence[str], max_length: int = TextConfig.max_length):
        self.vocabulary, self.max_length = tuple(vocabulary), max_length
        self.ids = {word: i + 2 for i, word in enumerate(self.vocabulary)}

    def __len__(self) -> int:
        return len(self.vocabulary) + 2

    @property
    def word_positions(self) -> torch.Tensor:
        """What each of V words says of a place, (V, 3): a moment from 0 to 1, a row and a column from -1 to 1; NaN where it says nothing."""
        squares = {
            word: (word[0], int(word[1:]))
            for word in self.vocabulary
            if re.fullmatch(r"[xy]\d+", word)
        }
        table = torch.full((len(self), 3), torch.nan)
        for word, (axis, number) in squares.items():
            table[self.ids[word], "_yx".index(axis)] = (2 * number + 1) / (
                len(squares) // 2
            ) - 1  # the middle of its row or column
        for word in MOMENTS.keys() & self.ids.keys():
            table[self.ids[word], 0] = MOMENTS[word]
        return table

    def words(self, prompt: str) -> list[str]:
        """Lower-case words, without punctuation; hyphens stay."""
        return re.findall(r"[^\W_]+(?:-[^\W_]+)*", prompt.lower())

    def __call__(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode prompts, padded to the longest.

        Returns:
            ids (B, S) int64 and attention_mask (B, S) bool, True for words and the end mark.

        Raises:
            ValueError: a word outside the vocabulary (the nearest are named), or a prompt that is too long.
        """
        rows = []
        for prompt in prompts:
            words = self.words(prompt)
            for word in words:
                if word not in self.ids:
                    near = ", ".join(
                        difflib.get_close_matches(word, self.vocabulary, n=3, cutoff=0.5)
                        or self.vocabulary[:20]
                    )
                    raise ValueError(
                        f"the model never met the word {word!r}; the nearest known words are: {near}"
                    )
            if len(words) >= self.max_length:
                raise ValueError(
                    f"a prompt of {len(words)} words is too long; at most {self.max_length - 1} fit: {prompt!r}"
                )
            rows.append([self.ids[word] for word in words] + [EOS])
        ids = torch.full((len(rows), max(map(len, rows))), PAD)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
        return ids, ids != PAD


class TextEncoder(nn.Module):
    """A small transformer in which every word looks at every other."""

    def __init__(
        self,
        vocabulary_size: int,
        config: TextConfig = TextConfig(),
        word_positions: torch.Tensor | None = None,
    ):
        """word_positions: of the words, (V, 3) as from `Tokenizer.word_positions`; None where no word has any."""
        super().__init__()
        self.config = config
        self.register_buffer(
            "word_positions",
            torch.full((vocabulary_size, 3), torch.nan)
            if word_positions is None
            else word_positions,
            persistent=False,
        )
        D = config.hidden_size
        self.embed = nn.Embedding(vocabulary_size, D)
        self.blocks = nn.ModuleList(Block(D, config.num_heads) for _ in range(config.depth))
        self.norm = RMSNorm(D)
        nn.init.normal_(self.embed.weight, std=1.0)

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """ids and attention_mask (B, S), or (B, S, S) whose row s is what word s may see → prompt_embeds (B, S, D_text)."""
        x, mask = (
            self.embed(ids),
            attention_mask[:, None] if attention_mask.ndim == 3 else attention_mask[:, None, None],
        )
        word_positions = torch.arange(ids.shape[1], device=ids.device)[:, None]
        rotary = rotary_angles(word_positions, self.config.hidden_size // self.config.num_heads)
        for block in self.blocks:
            x = block(x, mask, rotary)
        return self.norm(x)

    def positions(self, ids: torch.Tensor, grid: Size) -> torch.Tensor:
        """Where words are among the patches of a grid (t, h, w): (B, S, 3) as from `positions_of`. The three words of "from x6 y24" are all
        where they say; a word without a place is in the middle of the first frame, at zero."""
        said = F.pad(self.word_positions[ids], (0, 0, 0, 2), value=torch.nan)  # (B, S + 2, 3)
        whole = torch.stack(
            [said[:, :-2, 0], said[:, 2:, 1], said[:, 1:-1, 2]], dim=-1
        )  # (B, S, 3), where three words begin that make a place
        whole = whole * whole.new_tensor([grid[0] - 1, grid[1] / 2, grid[2] / 2])
        whole = F.pad(whole.where(~whole.isnan().any(-1, keepdim=True), 0), (0, 0, 2, 0))
        return (
            whole[:, 2:] + whole[:, 1:-1] + whole[:, :-2]
        )  # its second and its third word are there, too

    def read(
        self, ids: torch.Tensor, grid: Size
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """All that the transformer wants of prompts: ids (B, S) → prompt_embeds (B, S, D_text), attention_mask (B, S), prompt_positions (B, S, 3)."""
        attention_mask = ids != PAD
        return self(ids, attention_mask), attention_mask, self.positions(ids, grid)


class TextVideoPair(nn.Module):
    """Two encoders and a learned factor on their likeness: the contrastive pair of the language stage. Only its text encoder is kept."""

    def __init__(
        self,
        text: TextEncoder,
        latent_channels: int,
        hidden_size: int = 128,
        depth: int = 2,
        num_heads: int = 4,
    ):
        super().__init__()
        self.text, self.num_heads = text, num_heads
        self.embed = nn.Linear(latent_channels * 4, hidden_size)
        self.blocks = nn.ModuleList(Block(hidden_size, num_heads) for _ in range(depth))
        self.video_out = nn.Linear(hidden_size, hidden_size, bias=False)
        self.text_out = nn.Linear(text.config.hidden_size, hidden_size, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def encode_video(self, latents: torch.Tensor) -> torch.Tensor:
        """latents (B, Cz, Tz, Hz, Wz) → unit vectors (B, D)."""
        x = self.embed(patchify(latents, (1, 2, 2)))
        positions = positions_of(
            (latents.shape[2], latents.shape[3] // 2, latents.shape[4] // 2), device=latents.device
        )
        rotary = rotary_angles(positions, x.shape[-1] // self.num_heads)
        for block in self.blocks:
            x = block(x, rotary=rotary)
        return F.normalize(self.video_out(x.mean(1)).float(), dim=-1)

    def encode_text(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """ids, attention_mask (B, S) → unit vectors (B, D), the mean over the words."""
        x, weight = self.text(ids, attention_mask), attention_mask[..., None].float()
        return F.normalize(self.text_out((x * weight).sum(1) / weight.sum(1)).float(), dim=-1)

    def forward(self, latents, ids, attention_mask) -> tuple[torch.Tensor, torch.Tensor]:
        """Contrastive loss (do clip and caption find each other in the batch?), share of clips that do. Figure 3, arXiv:2103.00020."""
        scores = (
            self.logit_scale.exp().clamp(max=100)
            * self.encode_video(latents)
            @ self.encode_text(ids, attention_mask).T
        )
        own = torch.arange(len(scores), device=scores.device)
        loss = (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
        return loss, (scores.argmax(1) == own).float().mean()
