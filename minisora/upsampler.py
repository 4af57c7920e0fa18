"""The prompt upsampler: a small language model that goes on from a sentence with where things are.

    "a red ring moving left" ── PromptUpsampler, a word at a time ──► "a red ring moving left, from x22 y9 early x19 y9 …"

Sora was trained on long captions, and a large language model (GPT) makes a user's short prompt long before the video model sees it (OpenAI's
report; DALL-E 3's appendix C). Where an object is and where it goes is settled in the noisiest steps, in which the transformer sees next to nothing; a
language model settles it more reliably. This is one as they all are: each word sees only those before it, and predicts the next.
"""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.config import TextConfig
from minisora.text import EOS, PAD, TextEncoder, Tokenizer

MIN_P = 0.1  # a word less than a tenth as likely as the likeliest is never drawn (min-p, arXiv:2407.01082)


class PromptUpsampler(TextEncoder):
    """The text encoder's transformer with a causal mask, and a score for every word that could come next."""

    def __init__(self, vocabulary_size: int, config: TextConfig):
        super().__init__(vocabulary_size, config)
        self.head = nn.Linear(config.hidden_size, vocabulary_size)
        nn.init.zeros_(self.head.weight)
        self.head.bias.data = 12.0 * F.one_hot(
            torch.tensor(EOS), vocabulary_size
        )  # before training the end comes at once, so that prompts stay as they are

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """ids and attention_mask (B, S) → scores (B, S, vocabulary with end and padding): at s, of what follows the words 0 … s."""
        S = ids.shape[1]
        earlier = torch.ones(S, S, dtype=torch.bool, device=ids.device).tril()
        return self.head(super().forward(ids, attention_mask[:, None] & earlier)).float()

    def loss(self, plain: torch.Tensor, detailed: torch.Tensor) -> torch.Tensor:
        """Cross-entropy (minus the log of the right word's chance) of what a detailed caption adds to the plain one that it begins with, its end included: a scalar.

        Args:
            plain, detailed: ids (B, S), both padded to the same S.
        """
        begin = (plain != PAD).sum(1, keepdim=True) - 1  # words of the plain caption
        target = detailed[:, 1:].masked_fill(
            torch.arange(1, detailed.shape[1], device=plain.device) < begin, PAD
        )
        return F.cross_entropy(
            self(detailed, detailed != PAD)[:, :-1].flatten(0, 1),
            target.flatten(),
            ignore_index=PAD,
        )

    @torch.no_grad()
    def upsample(
        self, prompts: Sequence[str], tokenizer: Tokenizer, generator: torch.Generator | None = None
    ) -> list[str]:
        """Go on from every prompt until the end mark is drawn; "" stays empty, and what the tokenizer has no room for is cut off.

        Args:
            prompts: sentences, with no places yet or with places of the reader's own at the end.
            generator: source of the draws, on the CPU; the same seed goes on in the same way.

        Returns:
            As many sentences, each beginning with its prompt.

        Raises:
            ValueError: an unknown word, or a prompt that is too long.
        """
        ids, _ = tokenizer(prompts)
        lengths = (ids != PAD).sum(1) - 1  # the end mark gives way
        ids = F.pad(ids, (0, tokenizer.max_length - ids.shape[1]))
        open_ = lengths > 0
        rows, typed = torch.arange(len(ids)), lengths.tolist()
        while (open_ := open_ & (lengths < tokenizer.max_length - 1)).any():
            seen = int(lengths.max())
            device = self.head.weight.device
            scores = self(
                ids[:, :seen].to(device), (torch.arange(seen) < lengths[:, None]).to(device)
            ).cpu()
            scores = scores[rows, (lengths - 1).clamp(min=0)]
            chances = scores.softmax(-1)
            chances[:, PAD] = 0
            chances[chances < MIN_P * chances.amax(-1, keepdim=True)] = 0
            word = torch.multinomial(chances, 1, generator=generator)[:, 0]
            open_ &= word != EOS
            ids[rows[open_], lengths[open_]] = word[open_]
            lengths += open_
        added = [
            " ".join(tokenizer.vocabulary[i - 2] for i in row[start:end])
            for row, start, end in zip(ids.tolist(), typed, lengths.tolist(), strict=True)
        ]
        return [
            f"{prompt.rstrip(' .,')}, {more}" if more else prompt
            for prompt, more in zip(prompts, added, strict=True)
        ]
