"""The prompt upsampler: a small language model that continues a sentence with where things are.

    "a red ring moving left" ── PromptUpsampler ──► "a red ring moving left, from x22 y9 …"

Sora was trained on long captions, and a large language model makes a user's short prompt long
before the video model reads it (OpenAI's report, which refers to that of DALL-E 3, *Improving Image
Generation with Better Captions*, 2023). Where an object is, and where it goes, is decided in the
first sampling steps, in which the transformer sees almost pure noise. A language model decides it
more reliably. This one works as they all do: each word attends to itself and to those before it,
and predicts the next.
"""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.config import TextConfig
from minisora.text import EOS, PAD, TextEncoder, Tokenizer

MIN_P = 0.1  # words less than a tenth as likely as the likeliest are never drawn (arXiv:2407.01082)


class PromptUpsampler(nn.Module):
    """A text encoder with a causal mask, and a linear layer that scores every next word.

    Args:
        vocabulary_size: V, with PAD and EOS.
        config: of the text encoder.
    """

    def __init__(self, vocabulary_size: int, config: TextConfig):
        super().__init__()
        self.text = TextEncoder(vocabulary_size, config)
        self.head = nn.Linear(config.hidden_size, vocabulary_size)
        # before training EOS always comes next, so that prompts stay as they are
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.head.bias.data[EOS] = 12.0

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """ids, attention_mask (B, S) → scores (B, S, V): those at s are of the word after s."""
        B, S = ids.shape
        order = torch.arange(S, device=ids.device)
        causal = order <= order[:, None]  # (S, S): row s sees the words up to s
        mask = attention_mask[:, None] & causal  # (B, S, S)
        x = self.text(ids, mask)  # (B, S, D_text)
        return self.head(x).float()

    def loss(self, plain: torch.Tensor, detailed: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the words that a detailed caption adds to its plain one, EOS included.

        Args:
            plain, detailed: ids (B, S), padded to the same S; a detailed caption begins with its
            plain one.

        Returns:
            The mean over all added words in nats, a scalar.
        """
        B, S = detailed.shape
        is_word = plain != PAD
        plain_length = is_word.sum(1, keepdim=True) - 1  # (B, 1), without EOS
        order = torch.arange(1, S, device=plain.device)
        target = detailed[:, 1:]  # (B, S - 1)
        target = target.masked_fill(order < plain_length, PAD)
        scores = self(detailed, detailed != PAD)
        scores = scores[:, :-1].flatten(0, 1)  # (B * (S - 1), V)
        return F.cross_entropy(scores, target.flatten(), ignore_index=PAD)

    @torch.no_grad()
    def upsample(
        self,
        prompts: Sequence[str],
        tokenizer: Tokenizer,
        generator: torch.Generator | None = None,
    ) -> list[str]:
        """Continue every prompt until EOS is drawn, or until the tokenizer takes no more words.

        Args:
            prompts: sentences without positions, or with the first of them. "" stays empty.
            generator: source of the draws, on the CPU; the same seed continues in the same way.

        Returns:
            As many sentences, each beginning with its prompt.

        Raises:
            ValueError: an unknown word, or a prompt that is too long.
        """
        ids, _ = tokenizer(prompts)
        typed = (ids != PAD).sum(1) - 1  # (B,) words of each prompt; EOS is overwritten
        lengths = typed.clone()
        most = tokenizer.max_length  # EOS included
        ids = F.pad(ids, (0, most - ids.shape[1]))
        unfinished = (lengths > 0) & (lengths < most - 1)
        while unfinished.any():
            word = self._next_words(ids, lengths, generator)
            unfinished &= word != EOS
            ids[unfinished, lengths[unfinished]] = word[unfinished]
            lengths[unfinished] += 1
            unfinished &= lengths < most - 1
        upsampled = []
        for i, prompt in enumerate(prompts):
            added = ids[i, typed[i] : lengths[i]].tolist()
            if added:
                words = [tokenizer.vocabulary[number - 2] for number in added]
                addition = " ".join(words)
                beginning = prompt.rstrip(" .,")
                prompt = f"{beginning}, {addition}"
            upsampled.append(prompt)
        return upsampled

    def _next_words(
        self,
        ids: torch.Tensor,
        lengths: torch.Tensor,
        generator: torch.Generator | None,
    ) -> torch.Tensor:
        """Draw the word that follows the first `lengths` words of every row of ids: (B,)."""
        device = self.head.weight.device
        longest = int(lengths.max())
        words = ids[:, :longest]  # (B, S)
        mask = torch.arange(longest) < lengths[:, None]
        scores = self(words.to(device), mask.to(device))  # (B, S, V)
        rows = torch.arange(len(ids))
        last = (lengths - 1).clamp(min=0)
        chances = scores.cpu()[rows, last].softmax(-1)  # (B, V)
        chances[:, PAD] = 0
        least = MIN_P * chances.amax(-1, keepdim=True)
        chances[chances < least] = 0
        return torch.multinomial(chances, 1, generator=generator)[:, 0]
