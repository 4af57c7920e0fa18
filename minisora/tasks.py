"""One function, many prompts: every capability is a choice of which tokens are clean already.

    | method            | tokens that start clean (noise level 0)                      |
    | ----------------- | ------------------------------------------------------------ |
    | generate, image   | none; an image is a clip of one frame                        |
    | animate           | the first latent frame                                       |
    | extend            | the last latent frames (forward) or the first ones (backward) |
    | minute            | as extend, again and again: a window that slides             |
    | connect, loop     | both ends                                                    |
    | inpaint           | the latent frames in which nothing is missing                |
    | edit              | everything outside the region                                |
    | restyle           | none, but all start at noise level `strength` instead of 1   |

The network and the sampler are the same in all of them (OpenAI's report, *Video generation models as world simulators*, 2024,
"Prompting with images and videos"); each method here only puts together what is given and at which level it starts.
"""

from collections.abc import Sequence

import torch
from tqdm.auto import tqdm

from minisora.patchify import patchify

LOOK_BACK = 3  # latent frames


class Capabilities:
    """What `MiniSora` can do beside `generate`; needs its `generate`, `denoise`, `encode`, `latent_shape`, `tokenizer`, `vae`, `preset` and `device`."""

    @torch.no_grad()
    def animate(
        self,
        image: torch.Tensor,
        prompt: str | Sequence[str],
        *,
        num_frames: int | None = None,
        **options,
    ) -> torch.Tensor:
        """Image to video: the tokens of the first latent frame are given.

        Args:
            image: (3, H, W) or (B, 3, H, W) in [-1, 1], sides multiples of 8. options: as `generate`'s, without sizes.

        Returns:
            video (B, 3, T, H, W) that starts with the image.
        """
        images = _batched(image, 4, "image")
        first = self.encode(images[:, :, None])
        shape = self.latent_shape(
            self.preset.num_frames if num_frames is None else num_frames, *images.shape[-2:]
        )
        given = torch.zeros(len(images), first.shape[1], *shape, device=self.device)
        given[:, :, :1] = first
        levels = torch.ones(shape, device=self.device)
        levels[0] = 0
        return self.denoise(_paired(prompt, len(images)), given, levels, **options)

    def image(
        self,
        prompt: str | Sequence[str],
        *,
        height: int | None = None,
        width: int | None = None,
        **options,
    ) -> torch.Tensor:
        """Text to image: a clip of one frame, and no token is given. Options as `generate`'s.

        Returns:
            images (B, 3, H, W) in [-1, 1].
        """
        return self.generate(prompt, num_frames=1, height=height, width=width, **options)[:, :, 0]

    @torch.no_grad()
    def redo(
        self, video: torch.Tensor, levels, prompt: str | Sequence[str] = "", **options
    ) -> torch.Tensor:
        """Video to video, the general case: encode, start every latent cell at its own noise level, and walk all of them to clean.

        Args:
            video: (3, T, H, W) or (B, 3, T, H, W) in [-1, 1], T = 4k + 1. prompt: one for all, or one each.
            levels: a number, or a tensor that broadcasts to (Tz, Hz, Wz): 0 is kept, 1 is made anew, between is changed.
            options: as `generate`'s, without sizes.
        """
        videos = _batched(video, 5, "video")
        self.latent_shape(*videos.shape[2:])  # a wrong size is found here
        latents = self.encode(videos)
        levels = torch.as_tensor(levels, dtype=torch.float32, device=self.device)
        if levels.min() < 0 or levels.max() > 1:
            raise ValueError(
                f"noise levels go from 0 (kept) to 1 (made anew), not {float(levels.min()):g} to {float(levels.max()):g}"
            )
        return self.denoise(
            _paired(prompt, len(videos)), latents, levels.expand(latents.shape[2:]), **options
        )

    def restyle(
        self, video: torch.Tensor, prompt: str | Sequence[str], strength: float = 0.7, **options
    ) -> torch.Tensor:
        """Change a video as the prompt says: no token is clean, and all start at noise level `strength` (SDEdit, arXiv:2108.01073)."""
        return self.redo(video, strength, prompt, **options)

    def inpaint(
        self,
        video: torch.Tensor,
        missing: Sequence[int],
        prompt: str | Sequence[str] = "",
        **options,
    ) -> torch.Tensor:
        """Make missing frames: clean are the tokens of all latent frames in which none is missing. missing: numbers of frames, from 0."""
        T, patch = video.shape[-3], self.vae.config.patch_size[0]
        if not len(missing):
            raise ValueError("no frame is missing; name at least one")
        for frame in missing:
            if not 0 <= frame < T:
                raise ValueError(f"frame {frame} is not there; the clip has frames 0 to {T - 1}")
        levels = torch.zeros(self.latent_shape(*video.shape[-3:])[0], 1, 1)
        levels[[(frame + patch - 1) // patch for frame in missing]] = 1
        return self.redo(video, levels, prompt, **options)

    def edit(
        self, video: torch.Tensor, region, prompt: str | Sequence[str], **options
    ) -> torch.Tensor:
        """Make a region anew: clean is every token that has no pixel in it.

        Args:
            region: (top, left, height, width) in pixels, for all frames, or a bool tensor that broadcasts to (T, H, W).
        """
        T, H, W = video.shape[-3:]
        if isinstance(region, torch.Tensor):
            inside = region.bool().expand(T, H, W).clone()
        else:
            top, left, height, width = region
            inside = torch.zeros(T, H, W, dtype=torch.bool)
            inside[:, max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = (
                True
            )
        if not inside.any():
            raise ValueError(
                f"the region {region if not isinstance(region, torch.Tensor) else ''} has no pixel in a frame of {H}×{W}"
            )
        patch, shape = self.vae.config.patch_size, self.latent_shape(T, H, W)
        inside = torch.cat([inside[:1].expand(patch[0] - 1, -1, -1), inside])[
            None, None
        ].float()  # as `VideoVAE.encode` does
        return self.redo(video, patchify(inside, patch).amax(-1).view(shape), prompt, **options)

    def extend(
        self,
        video: torch.Tensor,
        num_frames: int,
        prompt: str | Sequence[str] = "",
        *,
        direction: str = "forward",
        look_back: int = LOOK_BACK,
        **options,
    ) -> torch.Tensor:
        """Go on where a video ends, or say what came before: clean are the latent frames next to the seam.

        A window as long as training's longest clips slides until there are `num_frames` more.

        Args:
            look_back: how many latent frames a window is given to go on from; forward, one more stands before them (a window's
                first frame has a latent frame to itself). Few keep what is there and not how it moves: data/LOG.md has the comparison.

        Returns:
            video (B, 3, T + num_frames, H, W); the given frames are the ones that came in.
        """
        if direction not in ("forward", "backward"):
            raise ValueError(f"direction={direction!r} is not known; it is forward or backward")
        if num_frames < 1 or look_back < 1:
            raise ValueError(
                f"num_frames={num_frames} and look_back={look_back}: neither can be less than 1"
            )
        longer, patch, forward = (
            _batched(video, 5, "video").cpu(),
            self.vae.config.patch_size[0],
            direction == "forward",
        )
        total = longer.shape[2] + num_frames
        while (missing := total - longer.shape[2]) > 0:
            cells = min(
                look_back, self._window - 2, (longer.shape[2] - forward) // patch
            )  # latent frames that are given
            kept = patch * cells + forward  # a window's first frame has a latent frame of its own
            if not kept:
                raise ValueError(
                    f"going backward starts from {patch} frames, and the clip has {longer.shape[2]}"
                )
            given = longer[:, :, -kept:] if forward else longer[:, :, :kept]
            new = min(
                -(-(missing - (not forward)) // patch), self._window - 1 - cells
            )  # latent frames to be made, but for a first one
            rest = given[:, :, -1 if forward else 0, None].expand(
                -1, -1, patch * new + (not forward), -1, -1
            )  # anything would do
            levels = (
                [0.0] * (1 + cells) + [1.0] * new if forward else [1.0] * (1 + new) + [0.0] * cells
            )
            made = self.redo(
                torch.cat([given, rest] if forward else [rest, given], dim=2),
                _in_time(levels),
                prompt,
                **options,
            ).cpu()
            longer = torch.cat(
                [longer, made[:, :, kept:]] if forward else [made[:, :, :-kept], longer], dim=2
            )
        return longer[:, :, :total] if forward else longer[:, :, -total:]

    @property
    def _window(self) -> int:
        """Latent frames of the longest clips that training had."""
        longest = max([self.preset.num_frames, *(frames for frames, *_ in self.preset.other_sizes)])
        return max((longest - 1) // self.vae.config.patch_size[0] + 1, 3)

    def connect(
        self,
        before: torch.Tensor,
        after: torch.Tensor,
        prompt: str | Sequence[str] = "",
        num_frames: int = 8,
        **options,
    ) -> torch.Tensor:
        """Lead from one video into another: clean are the end of the first and the beginning of the second, as much as `extend` looks back on.

        Args:
            num_frames: frames between the two, a multiple of 4.

        Returns:
            video (B, 3, T_before + num_frames + T_after, H, W).
        """
        first, last, patch = (
            _batched(before, 5, "before").cpu(),
            _batched(after, 5, "after").cpu(),
            self.vae.config.patch_size[0],
        )
        if num_frames < patch or num_frames % patch:
            raise ValueError(
                f"num_frames={num_frames} is no multiple of {patch}; {max(num_frames // patch, 1) * patch} would be"
            )
        if last.shape[2] < patch:
            raise ValueError(f"the second clip has {last.shape[2]} frames and needs {patch}")
        if first.shape[3:] != last.shape[3:] or len(first) != len(last):
            raise ValueError(
                f"clips of {tuple(first.shape)} and {tuple(last.shape)} do not fit together: batch, height and width must agree"
            )
        new = num_frames // patch
        most = min(LOOK_BACK, max((self._window - 1 - new) // 2, 1))  # latent frames of either
        head, tail = min(most, (first.shape[2] - 1) // patch), min(most, last.shape[2] // patch)
        given = first[:, :, -(patch * head + 1) :]
        window = torch.cat(
            [
                given,
                given[:, :, -1:].expand(-1, -1, num_frames, -1, -1),
                last[:, :, : patch * tail],
            ],
            dim=2,
        )
        made = self.redo(
            window, _in_time([0.0] * (1 + head) + [1.0] * new + [0.0] * tail), prompt, **options
        )
        return torch.cat(
            [first, made[:, :, given.shape[2] : given.shape[2] + num_frames].cpu(), last], dim=2
        )

    def loop(
        self, video: torch.Tensor, prompt: str | Sequence[str] = "", num_frames: int = 8, **options
    ) -> torch.Tensor:
        """Lead from a video's end back to its beginning: (B, 3, T + num_frames, H, W), to be shown again and again. Arguments as `connect`'s."""
        return self.connect(video, video, prompt, num_frames, **options)[
            :, :, : video.shape[-3] + num_frames
        ]

    def minute(
        self,
        script: str | Sequence[tuple[float, str | list[str]]],
        *,
        seconds: float = 60.0,
        fps: float = 8.0,
        height: int | None = None,
        width: int | None = None,
        progress: bool = True,
        **options,
    ) -> torch.Tensor:
        """A long clip, made window by window: a clip of the first sentence, then `extend` again and again.

        Each window looks back as `extend` does (on less where the sentence changes) and on nothing else, so cost and memory do not grow with the clip.

        Args:
            script: one sentence for all `seconds`, or several, each with its seconds: [(20, "a red circle moving left"), (40, …)]. In place of
                a sentence, a list of B of them makes B clips at once.

        Returns:
            video (B, 3, T, H, W), T = seconds × fps + 1, with all parts' seconds; B is 1 for single sentences.
        """
        parts = [(seconds, script)] if isinstance(script, str) else list(script)
        if not parts or min(length for length, _ in parts) <= 0:
            raise ValueError(
                f"a script is a list of (seconds, sentence) with seconds above 0, not {script!r} for {seconds:g} s"
            )
        texts = [
            text
            for _, several in parts
            for text in ([several] if isinstance(several, str) else several)
        ]
        self.tokenizer(texts)  # an unknown word is found now, not in the middle
        ends = [
            round(fps * sum(length for length, _ in parts[: i + 1])) + 1 for i in range(len(parts))
        ]
        video = self.generate(parts[0][1], height=height, width=width, **options).cpu()[
            :, :, : ends[0]
        ]
        step = self.vae.config.patch_size[0] * max(
            self._window - 1 - LOOK_BACK, 1
        )  # what one window makes
        said = parts[0][1]
        with tqdm(
            total=ends[-1], initial=video.shape[2], unit="frame", disable=not progress
        ) as bar:
            for end, (_, sentence) in zip(ends, parts, strict=True):
                look_back, said = (
                    LOOK_BACK if sentence == said else 1,
                    sentence,
                )  # who sees less of a motion is freer to end it
                while video.shape[2] < end:
                    more = min(step, end - video.shape[2])
                    video, look_back = (
                        self.extend(video, more, sentence, look_back=look_back, **options),
                        LOOK_BACK,
                    )
                    bar.update(more)
        return video


def _in_time(levels: list[float]) -> torch.Tensor:
    return torch.tensor(levels)[:, None, None]


def _batched(x: torch.Tensor, ndim: int, name: str) -> torch.Tensor:
    """A batch of images (ndim 4) or videos (5), from one of them or several."""
    x = x[None] if x.ndim == ndim - 1 else x
    if x.ndim != ndim or x.shape[1] != 3:
        axes = "3, H, W" if ndim == 4 else "3, T, H, W"
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it should be ({axes}) or (B, {axes})")
    if x.min() < -1.01 or x.max() > 1.01:
        raise ValueError(
            f"{name} has values in [{x.min():.1f}, {x.max():.1f}]; scale them to [-1, 1]"
        )
    return x


def _paired(prompt: str | Sequence[str], count: int) -> list[str]:
    """A prompt for each of `count` clips."""
    prompts = [prompt] * count if isinstance(prompt, str) else list(prompt)
    if len(prompts) != count:
        raise ValueError(f"{count} clips and {len(prompts)} prompts do not pair up")
    return prompts
