"""What trainings read: sources of clips, buckets of one size each, cached latents.

toy world or folder ──► Source: a bucket for each size ── cached_latents ──► Latents of each bucket
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from minisora.checkpoints import load_tensors, save_tensors
from minisora.config import Preset
from minisora.device import autocast, host_generator, is_gpu
from minisora.text import PAD, Tokenizer
from minisora.train.folder import Folder
from minisora.train.workers import Chunk, Wanted, Workers
from minisora.vae import VideoVAE
from minisora.world.captions import VOCABULARY
from minisora.world.dataset import TEST_SEEDS, ToyWorld
from minisora.world.rewordings import REWORDINGS

Captioned = tuple[torch.Tensor, list[list[str]]]  # videos (B, 3, T, H, W), captions of each clip
Tokenized = tuple[torch.Tensor, torch.Tensor]  # videos (B, 3, T, H, W), ids (B, captions, S)
NOBODY = Workers(0)
HELD_BACK = 128  # clips that the compressor is measured on, at most
HOLD_OUT_EVERY = 10  # of a folder's films, every tenth is held back …
FILMS_TO_HOLD_OUT = 20  # … where there are so many

# ------------------------------------------------------------------------------------------ latents


@dataclass
class Latents:
    """Clips of one size that were encoded once: what the stages after the compressor read.

    They live where a training draws from them without waiting: on the GPU, or else on the CPU.
    """

    latents: torch.Tensor  # (M, Cz, Tz, Hz, Wz), normalised, float16
    ids: torch.Tensor  # (M, captions a clip, S) word numbers, padded with 0
    fraction: float = 1.0  # of the steps, beside clips of other sizes
    paired: bool = False  # whether caption 2j + 1 is caption 2j and more, as in the toy world

    def draw(
        self, batch_size: int, generator: torch.Generator, detailed_fraction: float | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw a batch of clips, each with one of its captions.

        Args:
            detailed_fraction: of the captions, how many are the longer ones of their pairs, where
                they come in pairs; None: every caption is as likely as another.

        Returns:
            latents (B, Cz, Tz, Hz, Wz), ids (B, S) and attention_mask (B, S).
        """
        device = generator.device
        rows = self._below(len(self.latents), batch_size, generator)
        which = self._below(self.ids.shape[1], batch_size, generator)
        if self.paired and detailed_fraction is not None:
            chance = torch.rand(batch_size, generator=generator, device=device)
            detailed = chance < detailed_fraction
            which = which // 2 * 2 + detailed.to(which.device)
        ids = self.ids[rows, which].to(device).long()
        return self.latents[rows].to(device).float(), ids, ids != PAD

    def draw_pairs(
        self, batch_size: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw plain captions and the same ones with positions: ids (B, S) twice.

        Of each clip it is the last pair. Others may add words, which leave more open: two objects
        come out as asked in 12 % with words, in 78 % with positions (data/LOG.md).
        """
        rows = self._below(len(self.ids), batch_size, generator)
        which = self.ids.shape[1] // 2 * 2 - 2
        plain, detailed = self.ids[rows, which], self.ids[rows, which + 1]
        return plain.to(generator.device).long(), detailed.to(generator.device).long()

    def _below(self, most: int, count: int, generator: torch.Generator) -> torch.Tensor:
        """Whole numbers below `most`, drawn on the generator's device, to index what is kept."""
        drawn = torch.randint(most, (count,), generator=generator, device=generator.device)
        return drawn.to(self.ids.device)


@torch.no_grad()
def cache_latents(
    vae: VideoVAE,
    tokenizer: Tokenizer,
    clips: Callable[[int, int], Captioned],
    count: int,
    progress: bool = True,
    chunk: int = 32,
    fraction: float = 1.0,
    paired: bool = False,
    measure: bool = True,
    tokenized: Iterator[Tokenized] | None = None,
) -> Latents:
    """Encode `count` clips and keep them normalised.

    Args:
        clips: (start, size) → videos (size, 3, T, H, W) in [-1, 1] and as many captions for each.
        fraction, paired: see `Latents`.
        measure: write the latents' mean and standard deviation into the VAE before normalising.
        tokenized: the same clips with ids of their captions, where they have been begun already.
    """
    device = next(vae.parameters()).device
    if tokenized is None:
        tokenized = tokenize(clips, tokenizer, count, chunk)
    means, several_ids = [], []
    with tqdm(total=count, desc="latents", unit="clip", disable=not progress) as bar:
        for videos, ids in tokenized:
            with autocast(device):
                means.append(vae.encode(videos.to(device)).mean)
            several_ids.append(ids)
            bar.update(len(videos))
    latents = torch.cat(means)
    if measure:
        vae.latents_mean.copy_(latents.mean((0, 2, 3, 4)))
        vae.latents_std.copy_(latents.std((0, 2, 3, 4)))
    latents = vae.normalise(latents).half()
    longest = max(ids.shape[-1] for ids in several_ids)
    if is_gpu(device):
        longest += -longest % 8  # a length that fast attention can be computed for
    padded = [F.pad(ids, (0, longest - ids.shape[-1]), value=PAD) for ids in several_ids]
    place = storage(device)
    return Latents(latents.to(place), torch.cat(padded).to(place), fraction, paired)


def tokenize(
    clips: Callable[[int, int], Captioned], tokenizer: Tokenizer, count: int, chunk: int
) -> Iterator[Tokenized]:
    """Clips 0 … count - 1 with ids for captions."""
    for start in range(0, count, chunk):
        videos, captions = clips(start, min(chunk, count - start))
        ids, _ = tokenizer([prompt for several in captions for prompt in several])
        yield videos, ids.view(len(videos), -1, ids.shape[-1]).to(torch.int16)


def storage(device: torch.device | str) -> torch.device:
    """Where clips are kept for a training on a device: on a GPU itself, else on the CPU."""
    return torch.device(device if is_gpu(device) else "cpu")


def cached_latents(
    vae: VideoVAE,
    tokenizer: Tokenizer,
    source: "Source",
    path: Path,
    compressor: str,
    progress: bool = True,
    measure: bool = True,
    tokenized: list[Iterator[Tokenized]] | None = None,
    workers: Workers = NOBODY,
) -> list[Latents]:
    """Encode every bucket of a source and keep the latents in a file, or read that file.

    A GPU makes latents as fast as a disk reads them, so its file holds their statistics alone.

    Args:
        compressor: checksum of the VAE's weights; a file of another compressor is made again.
        tokenized: as in `cache_latents`, for every bucket. workers: who makes them otherwise.
    """
    device = next(vae.parameters()).device
    kept, note = load_tensors(path) if path.is_file() else ({}, {})
    known = note.get("compressor") == compressor
    if known:
        vae.latents_mean.copy_(kept["mean"])
        vae.latents_std.copy_(kept["std"])
    if known and "latents.0" in kept:
        return _kept_latents(kept, source, storage(device))

    tokenized = tokenized or source.begin(tokenizer, device, workers)
    data = []
    for i, bucket in enumerate(source.buckets):
        latents_of_bucket = cache_latents(
            vae,
            tokenizer,
            bucket.clips,
            bucket.count,
            progress=progress,
            fraction=bucket.fraction,
            paired=source.paired,
            measure=measure and i == 0 and not known,
            tokenized=tokenized[i],
        )
        data.append(latents_of_bucket)
    tensors = {"mean": vae.latents_mean, "std": vae.latents_std}
    if not is_gpu(device):
        for i, of_bucket in enumerate(data):
            tensors[f"latents.{i}"] = of_bucket.latents
            tensors[f"ids.{i}"] = of_bucket.ids
    save_tensors(path, tensors, {"compressor": compressor})
    return data


def _kept_latents(
    kept: dict[str, torch.Tensor], source: "Source", place: torch.device
) -> list[Latents]:
    """The latents of every bucket, from a file that `cached_latents` wrote."""
    data = []
    for i, bucket in enumerate(source.buckets):
        latents = kept[f"latents.{i}"].to(place)
        ids = kept[f"ids.{i}"].to(place)
        data.append(Latents(latents, ids, bucket.fraction, source.paired))
    return data


def fractions_of_sizes(count: int, other_fraction: float) -> list[float]:
    """How often each of several sizes is drawn; `other_fraction` is for each after the first."""
    others = [other_fraction] * (count - 1)
    return [1 - other_fraction * (count - 1), *others]


def draw_size(fractions: list[float], generator: torch.Generator) -> int:
    """The number of one of several sizes, each drawn as often as its fraction says."""
    if len(fractions) == 1:
        return 0
    chances = torch.tensor(fractions)
    return int(torch.multinomial(chances, 1, generator=host_generator(generator)))


# ------------------------------------------------------------------------------------------ sources

SAMPLE_PROMPTS = {  # drawn from one seed at every evaluation, so that the pictures can be compared
    "tiny": [
        "a large red circle bouncing on a navy background",
        "a small yellow star spinning on a black grid",
        "a large green heart growing on a white gradient",
        "a red ring hits a blue square from the left on a black background",
    ],
    "whole": [
        "a large red circle bouncing on a navy background",
        "a yellow star moving right, then moving up on a black grid",
        "a blue ball passes behind a wall from left to right",
        "two pink hearts moving left on a white background",
        "the camera pans right over a green square on navy hills",
        "an orange triangle on black hills, the camera looks away and comes back",
        "a red chomper takes a bite out of a yellow square from the left",
        "a blue ring touches a lamp and it lights up",
        "a green brush paints a line moving right on a white background",
        "a red circle hits a blue square from the left",
        "a pink star moving left on black stripes, cut to a white background",
        "a cyan ball leaves to the right and comes back",
        "in the game, the player takes the key, then opens the door",
    ],
}


class Clips(Protocol):
    """Clips of one size, counted from 0."""

    def __call__(self, start: int, count: int) -> Captioned:
        """Videos in [-1, 1] and the captions of each."""

    def pool(self, count: int, device: torch.device | str, workers: Workers) -> torch.Tensor:
        """The first `count` videos at most, without captions: (M, 3, T, H, W) uint8."""

    def tokenized(
        self, count: int, tokenizer: Tokenizer, device: torch.device | str, workers: Workers
    ) -> Iterator[Tokenized]:
        """The first `count` clips; processes begin when this is called."""


@dataclass(frozen=True)
class Bucket:
    """Clips of one size for the stages after the compressor."""

    clips: Clips
    count: int  # how many there are
    fraction: float = 1.0  # of the transformer's steps


@dataclass(frozen=True)
class Source:
    """Where a training takes its clips from."""

    vocabulary: tuple[str, ...]
    buckets: list[Bucket]  # the first is the preset's own size
    pool_counts: list[int]  # clips of each bucket that the compressor learns from
    held_back: torch.Tensor  # (B, 3, T, H, W) in [-1, 1], to measure the compressor on
    samples: list[str]  # prompts of the pictures at every evaluation
    paired: bool  # captions come in pairs: one, and the same one with more detail
    judged: bool  # the judge can read the clips
    rewordings: Mapping[str, str] = field(default_factory=dict)  # see `text.Tokenizer`

    def pools(
        self, device: torch.device | str = "cpu", workers: Workers = NOBODY
    ) -> list[torch.Tensor]:
        """Videos of every size for the compressor, (M, 3, T, H, W) uint8."""
        pairs = zip(self.buckets, self.pool_counts, strict=True)
        return [bucket.clips.pool(count, device, workers) for bucket, count in pairs]

    def begin(
        self, tokenizer: Tokenizer, device: torch.device | str = "cpu", workers: Workers = NOBODY
    ) -> list[Iterator[Tokenized]]:
        """Let processes begin with the clips of every bucket, and give out what they make."""
        return [b.clips.tokenized(b.count, tokenizer, device, workers) for b in self.buckets]


def world_of(
    preset: Preset, size: tuple[int, int, int] | None = None, first_seed: int = 0
) -> ToyWorld:
    """The toy world as a preset wants it. size: frames, rows, columns; the preset's where None."""
    num_frames, height, width = size or (preset.num_frames, preset.height, preset.width)
    return ToyWorld(
        first_seed=first_seed,
        world=preset.world,
        num_frames=num_frames,
        height=height,
        width=width,
        fps=preset.fps,
    )


def render_pool(
    world: ToyWorld, count: int, device: torch.device | str = "cpu", workers: Workers = NOBODY
) -> torch.Tensor:
    """The first `count` clips as (count, 3, T, H, W) uint8, in the `storage` of a device."""
    place = storage(device)
    chunks = []
    for chunk in workers.chunks(Wanted(world), count):
        videos = world.draw(chunk.drawing, place)
        chunks.append(((videos + 1) * 127.5).round().byte())
    return torch.cat(chunks)


@dataclass(frozen=True)
class WorldClips:
    """Clips of the toy world; every caption comes alone and with more detail."""

    world: ToyWorld
    captions_per_clip: int

    def __call__(self, start: int, count: int) -> Captioned:
        scenes = [self.world.scene(i) for i in range(start, start + count)]
        several = [self.world.captions(scene, self.captions_per_clip) for scene in scenes]
        return self.world.draw(self.world.prepare(scenes)), several

    def pool(self, count: int, device: torch.device | str, workers: Workers) -> torch.Tensor:
        return render_pool(self.world, count, device, workers)

    def tokenized(
        self, count: int, tokenizer: Tokenizer, device: torch.device | str, workers: Workers
    ) -> Iterator[Tokenized]:
        wanted = Wanted(self.world, self.captions_per_clip, tokenizer)
        chunks = workers.chunks(wanted, count, alone=32)  # processes begin now
        return self._drawn(chunks, storage(device))

    def _drawn(self, chunks: Iterator[Chunk], place: torch.device) -> Iterator[Tokenized]:
        for chunk in chunks:
            assert chunk.ids is not None
            yield self.world.draw(chunk.drawing, place), chunk.ids


def world_source(preset: Preset) -> Source:
    """The toy world, without end, in the preset's size and in the others."""
    if preset.captions_per_clip % 2:
        raise ValueError(
            f"captions_per_clip={preset.captions_per_clip} is odd; "
            "in the toy world every sentence comes alone and with more detail"
        )
    worlds = [world_of(preset)]
    for i, size in enumerate(preset.other_sizes, 1):
        worlds.append(world_of(preset, size, first_seed=i * 10_000_000))
    fractions = fractions_of_sizes(len(worlds), preset.other_fraction)
    cells = [_cells(world) for world in worlds]

    def counts(most: int) -> list[int]:
        """Clips of each size: as many as its fraction says, and the more the smaller they are."""
        sizes = zip(fractions, cells, strict=True)
        return [max(int(most * f / fractions[0] * cells[0] / n), 1) for f, n in sizes]

    buckets = []
    for world, count, fraction in zip(worlds, counts(preset.cached_clips), fractions, strict=True):
        buckets.append(Bucket(WorldClips(world, preset.captions_per_clip), count, fraction))
    pool_counts = counts(preset.vae_clips)
    unseen = WorldClips(world_of(preset, first_seed=TEST_SEEDS), 0)
    held_back, _ = unseen(0, HELD_BACK)
    return Source(
        VOCABULARY,
        buckets,
        pool_counts,
        held_back,
        SAMPLE_PROMPTS[preset.world],
        paired=True,
        judged=True,
        rewordings=REWORDINGS,
    )


def _cells(world: ToyWorld) -> int:
    """What a clip of this world costs: latent frames · rows · columns."""
    frames = (world.shape["num_frames"] + 3) // 4
    return frames * world.shape["height"] * world.shape["width"]


@dataclass(frozen=True)
class FolderClips:
    """A reader's own clips, with as many captions for each: a clip that has fewer repeats them."""

    folder: Folder
    rows: list[int]  # of the folder's clips

    def __call__(self, start: int, count: int) -> Captioned:
        rows = self.rows[start : start + count]
        most = max(len(captions) for captions in self.folder.captions)
        captions = [(self.folder.captions[i] * most)[:most] for i in rows]
        return self.folder.videos[rows].float() / 127.5 - 1, captions

    def pool(self, count: int, device: torch.device | str, workers: Workers) -> torch.Tensor:
        return self.folder.videos[self.rows[:count]].to(storage(device))

    def tokenized(
        self, count: int, tokenizer: Tokenizer, device: torch.device | str, workers: Workers
    ) -> Iterator[Tokenized]:
        return tokenize(self, tokenizer, count, 32)


def folder_source(folder: Folder, most: int) -> Source:
    """A reader's own clips.

    Of twenty films or more, every tenth is held back with all its clips. Of fewer films none is,
    and the compressor is measured on clips that it has learned from.

    Args:
        most: clips for the compressor.
    """
    films = list(dict.fromkeys(folder.files))
    measured = set(films[::HOLD_OUT_EVERY])
    held_out = measured if len(films) >= FILMS_TO_HOLD_OUT else set()
    kept = [i for i, file in enumerate(folder.files) if file not in held_out]
    rows = [i for i, file in enumerate(folder.files) if file in measured]
    held_back = folder.videos[rows[:HELD_BACK]].float() / 127.5 - 1
    samples = list(dict.fromkeys(captions[0] for captions in folder.captions))[:4]
    bucket = Bucket(FolderClips(folder, kept), len(kept))
    return Source(
        folder.vocabulary, [bucket], [most], held_back, samples, paired=False, judged=False
    )
