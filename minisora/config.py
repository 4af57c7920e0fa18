"""Every number that decides a model or a training, and the bounds of each.

A `Preset` is one whole choice: the sizes of the clips, of the four networks, and of the four
training stages. notebooks/glossary.md explains the words. A value that no model can have is refused
when it is set.
"""

import difflib
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

GUIDANCE_SCALE = 2.0  # 1 is the prompt alone; data/LOG.md has the comparison
# default sampling steps, see `MiniSora.default_steps`: for prompts with positions, without them,
# and with conditioning frames; the less a condition leaves open, the fewer steps a clip needs
STEPS = {"upsampled": 4, "typed": 20, "conditioned": 2}

WORLDS = ("tiny", "whole")  # what of the toy world is learned: see world/dataset.py


@dataclass(frozen=True)
class VAEConfig:
    """The time-space compressor, vae.py."""

    patch_size: tuple[int, int, int] = (4, 4, 4)  # frames, rows, columns of one latent cell
    latent_channels: int = 12  # numbers in a latent cell
    hidden_size: int = 128
    encoder_depth: int = 2  # residual MLPs in the encoder
    depth: int = 4  # transformer blocks in the decoder
    num_heads: int = 4
    window: int = 3  # latent frames that one attends to: with 3, itself and the two before it

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class TextConfig:
    """A text encoder, text.py; the prompt upsampler has one, too."""

    hidden_size: int = 128
    depth: int = 2
    num_heads: int = 4
    max_length: int = 64  # words of the longest prompt, EOS included

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class DiTConfig:
    """The diffusion transformer, dit.py."""

    patch_size: tuple[int, int, int] = (1, 2, 2)  # latent frames, rows, columns of one token
    latent_channels: int = 12  # VAEConfig.latent_channels
    hidden_size: int = 256
    depth: int = 6
    num_heads: int = 4
    mlp_ratio: float = 4.0  # hidden size inside an MLP, over `hidden_size`
    text_size: int = 128  # TextConfig.hidden_size; 0: no prompts
    num_actions: int = 0  # of a player; 0: none

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class TrainConfig:
    """One training stage. It takes `minutes`, or exactly `steps` where that is set."""

    minutes: float = 5.0
    steps: int | None = None
    batch_size: int = 64
    # on a GPU; the learning rate stays, because a step of Muon has the same length for every batch
    gpu_batch_size: int | None = None
    learning_rate: float = 1e-3  # the peak, after `warmup_steps` and before the cooldown
    warmup_steps: int = 100
    cooldown_fraction: float = 0.4  # the last part of the stage, in which the rate falls to zero
    ema_decay: float = 0.995  # of the averaged weights, which are shipped; about the last 200 steps
    save_every: float = 60.0  # seconds between checkpoints
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Preset:
    """One model and its training: clips, captions, losses, networks, training stages."""

    num_frames: int = 17  # 4k + 1
    height: int = 32
    width: int = 32
    fps: int = 8
    world: str = "tiny"  # what of the toy world it learns: one of WORLDS
    vae_clips: int = 6_000  # clips that the VAE learns from
    cached_clips: int = 14_000  # clips that the later stages learn from, as stored latents
    gpu_vae_clips: int | None = None  # on a GPU, which sees more clips in a minute
    gpu_cached_clips: int | None = None
    other_sizes: tuple[tuple[int, int, int], ...] = (  # frames, rows, columns
        (1, 32, 32),
        (33, 32, 32),
        (17, 24, 40),
        (17, 40, 24),
    )
    other_fraction: float = 0.05  # of the VAE's and the transformer's steps, for each size
    # even: each caption comes alone and with more detail, see `ToyWorld.captions`
    captions_per_clip: int = 4
    detailed_fraction: float = 0.4  # of the transformer's captions, those with more detail
    kl_weight: float = 1e-2  # of the KL per number of a clip, beside the mean squared error
    curriculum_steps: int = 5_000  # the transformer's first: text to video in one size only
    curriculum_detailed_fraction: float = 0.8  # `detailed_fraction` in these steps
    prompt_dropout_prob: float = 0.1  # of the null prompt in place of a caption, for guidance
    shift: float = 3.0  # s of `flow.shift_sigma`: more high noise levels, which decide the motion
    # in training, the highest noise level of conditioning tokens; the network is told level 0
    noise_augmentation: float = 0.1
    vae: VAEConfig = field(default_factory=VAEConfig)
    text: TextConfig = field(default_factory=TextConfig)
    dit: DiTConfig = field(default_factory=lambda: DiTConfig(hidden_size=160))
    upsampler: TextConfig | None = field(  # None: no prompt upsampler
        default_factory=lambda: TextConfig(depth=3)
    )
    train_vae: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            minutes=4.5, batch_size=4, gpu_batch_size=64, learning_rate=4e-3
        )
    )
    train_language: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            minutes=0.5, batch_size=32, gpu_batch_size=256, warmup_steps=20
        )
    )
    train_upsampler: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            minutes=2.0, batch_size=32, gpu_batch_size=256, learning_rate=6e-3
        )
    )
    train_dit: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            minutes=11.7,
            batch_size=16,
            gpu_batch_size=512,
            learning_rate=1.2e-2,
            warmup_steps=50,
            cooldown_fraction=0.8,
        )
    )

    def __post_init__(self) -> None:
        check(self)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def on_gpu(self) -> "Preset":
        """The preset with its numbers for a GPU in place of those for two cores."""
        changes: dict[str, Any] = {name: _stage_on_gpu(getattr(self, name)) for name in STAGES}
        return replace(
            self,
            vae_clips=self.gpu_vae_clips or self.vae_clips,
            cached_clips=self.gpu_cached_clips or self.cached_clips,
            **changes,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preset":
        """Build a preset from what `to_dict` gave, also after JSON has turned tuples into lists.

        Raises:
            ValueError: an unknown name, or a value that no model can have.
        """
        return _preset_from_dict(cls, PARTS, values)


PARTS = {
    "vae": VAEConfig,
    "text": TextConfig,
    "dit": DiTConfig,
    "upsampler": TextConfig,
    "train_vae": TrainConfig,
    "train_language": TrainConfig,
    "train_upsampler": TrainConfig,
    "train_dit": TrainConfig,
}
STAGES = ("train_vae", "train_language", "train_upsampler", "train_dit")


def _stage_on_gpu(stage: TrainConfig) -> TrainConfig:
    return replace(stage, batch_size=stage.gpu_batch_size or stage.batch_size)


def _preset_from_dict(preset: Any, parts: dict[str, Any], values: Any) -> Any:
    """Build a preset from names and values, and its parts from theirs."""
    if not isinstance(values, dict):
        raise ValueError(f"a preset consists of names and values; {values!r:.40} does not")
    values = dict(values)
    for name, kind in parts.items():
        if isinstance(values.get(name), dict):
            values[name] = _from_dict(kind, values[name])
    return _from_dict(preset, values)


def _from_dict(kind: Any, values: dict[str, Any]) -> Any:
    known = [f.name for f in fields(kind)]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0) or known
            raise ValueError(f"{kind.__name__} has no field {name!r}; the nearest is {near[0]!r}")
    return kind(**{name: _as_tuple(value) for name, value in values.items()})


def _as_tuple(value: Any) -> Any:
    """Lists, and lists in a list, as tuples."""
    if not isinstance(value, (list, tuple)):
        return value
    return tuple(tuple(item) if isinstance(item, list) else item for item in value)


# ------------------------------------------------------------------------------------------ checks


BOUNDS: dict[str, tuple[float, float]] = {  # least and largest value of every field
    "num_frames": (1, 4097),
    "height": (1, 4096),
    "width": (1, 4096),
    "fps": (1, 240),
    "vae_clips": (1, 10**9),
    "cached_clips": (1, 10**9),
    "gpu_vae_clips": (1, 10**9),
    "gpu_cached_clips": (1, 10**9),
    "other_fraction": (0, 1),
    "captions_per_clip": (1, 1000),
    "detailed_fraction": (0, 1),
    "kl_weight": (0, 1000),
    "curriculum_steps": (0, 10**9),
    "curriculum_detailed_fraction": (0, 1),
    "prompt_dropout_prob": (0, 1),
    "shift": (0.01, 100),
    "noise_augmentation": (0, 1),
    "patch_size": (1, 16),
    "latent_channels": (1, 256),
    "hidden_size": (2, 10_000),
    "encoder_depth": (0, 64),
    "depth": (1, 256),
    "num_heads": (1, 256),
    "window": (1, 1000),
    "max_length": (2, 4096),
    "mlp_ratio": (0.1, 16),
    "text_size": (0, 10_000),
    "num_actions": (0, 1000),
    "context": (1, 1000),
    "rare_fraction": (0, 1),
    "games": (1, 10**7),
    "game_steps": (1, 10**6),
    "minutes": (0, 10**6),
    "steps": (1, 10**9),
    "batch_size": (1, 10**6),
    "gpu_batch_size": (1, 10**6),
    "learning_rate": (0, 10),
    "warmup_steps": (0, 10**9),
    "cooldown_fraction": (0, 1),
    "ema_decay": (0, 1),
    "save_every": (0, 10**9),
    "seed": (0, 2**63 - 1),
}
# largest depth × hidden_size², with which a transformer has about 1.5 billion weights
MOST_WEIGHTS = 10**8


def check_number(name: str, value: Any, whole: bool = True) -> None:
    """Raise ValueError for what is not a number within its field's BOUNDS; NaN never is.

    Args:
        whole: whether it has to be a whole number.
    """
    least, most = BOUNDS[name]
    right_type = isinstance(value, int) if whole else isinstance(value, (int, float))
    if isinstance(value, bool) or not right_type or not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name}={value!r:.40} should be {kind} from {least:g} to {most:g}")


def check_fields(config: Any) -> None:
    """Check every number of one configuration, and that its sizes fit together.

    Raises:
        ValueError: what is wrong, and what would do.
    """
    for f in fields(config):
        value = getattr(config, f.name)
        if f.name == "patch_size":
            _check_size(f.name, value, ("patch_size",) * 3)
        elif f.type in (int, float):
            check_number(f.name, value, whole=f.type is int)
        elif f.type == int | None and value is not None:
            check_number(f.name, value)
    if hasattr(config, "num_heads"):
        hidden, heads = config.hidden_size, config.num_heads
        if hidden % (2 * heads):
            nearest = max(round(hidden / (2 * heads)), 1) * 2 * heads
            raise ValueError(
                f"hidden_size={hidden} does not divide into {heads} heads of an even size; "
                f"{nearest} would"
            )
        if config.depth * hidden**2 > MOST_WEIGHTS:
            raise ValueError(
                f"depth={config.depth} and hidden_size={hidden} make too large a network; "
                f"depth × hidden_size² should be at most {MOST_WEIGHTS:g}"
            )


def check(preset: Preset) -> None:
    """Check every number of a preset, and that its parts fit together.

    Raises:
        ValueError: what is wrong, and what would do.
    """
    _check_parts(preset, PARTS)
    check_fields(preset)
    if preset.world not in WORLDS:
        raise ValueError(f"world={preset.world!r:.40} is not known; it is {' or '.join(WORLDS)}")
    if preset.dit.text_size != preset.text.hidden_size:
        raise ValueError(
            f"dit.text_size={preset.dit.text_size} should be "
            f"text.hidden_size={preset.text.hidden_size}"
        )
    if preset.dit.latent_channels != preset.vae.latent_channels:
        raise ValueError(
            f"dit.latent_channels={preset.dit.latent_channels} should be "
            f"vae.latent_channels={preset.vae.latent_channels}"
        )
    if not isinstance(preset.other_sizes, tuple):
        raise ValueError(f"other_sizes={preset.other_sizes!r:.40} should be a tuple of sizes")
    if preset.other_fraction * len(preset.other_sizes) >= 1:
        raise ValueError(
            f"other_fraction={preset.other_fraction} for each of {len(preset.other_sizes)} sizes "
            "leaves no step for the preset's own size"
        )
    _check_clip(preset, (preset.num_frames, preset.height, preset.width))
    for size in preset.other_sizes:
        try:
            _check_size("size", size, ("num_frames", "height", "width"))
            _check_clip(preset, size)
        except ValueError as error:
            raise ValueError(f"other_sizes has {size!r:.40}: {error}") from None


def _check_parts(preset: Any, parts: dict[str, Any]) -> None:
    """Raise ValueError where a part of a preset is of another kind."""
    for name, kind in parts.items():
        part = getattr(preset, name)
        missing_upsampler = name == "upsampler" and part is None
        if not isinstance(part, kind) and not missing_upsampler:
            raise ValueError(f"{name}={part!r:.40} should be a {kind.__name__}")


def _check_size(name: str, size: Any, bounds: tuple[str, str, str]) -> None:
    if not isinstance(size, tuple) or len(size) != 3:
        raise ValueError(f"{name}={size!r:.40} should be three numbers: frames, rows, columns")
    for bound, number in zip(bounds, size, strict=True):
        check_number(bound, number)


def _check_clip(preset: Preset, size: tuple[int, int, int]) -> None:
    """Raise ValueError unless a clip has 4k + 1 frames, and sides that a token divides."""
    frames, *sides = size
    cell, token = preset.vae.patch_size, preset.dit.patch_size
    if (frames - 1) % cell[0]:
        raise ValueError(f"num_frames={frames} should be {cell[0]}k + 1")
    latent_frames = (frames - 1) // cell[0] + 1
    if latent_frames % token[0]:
        raise ValueError(f"{latent_frames} latent frames do not divide into tokens of {token[0]}")
    for axis, name, side in zip((1, 2), ("height", "width"), sides, strict=True):
        if side % (cell[axis] * token[axis]):
            raise ValueError(f"{name}={side} should be a multiple of {cell[axis] * token[axis]}")


PRESETS = {
    "tiny": Preset(
        gpu_vae_clips=20_000,
        gpu_cached_clips=60_000,
        captions_per_clip=6,
        detailed_fraction=0.6,
        curriculum_steps=3_000,
        text=TextConfig(max_length=96),
        upsampler=TextConfig(depth=3, max_length=96),
    ),
    "base": Preset(
        world="whole",
        captions_per_clip=6,
        height=64,
        width=64,
        other_sizes=((33, 64, 64), (17, 48, 80), (17, 80, 48), (1, 64, 64)),
        gpu_vae_clips=24_000,
        gpu_cached_clips=100_000,
        detailed_fraction=0.6,
        curriculum_steps=1_500,
        curriculum_detailed_fraction=0.6,
        kl_weight=5e-3,
        vae=VAEConfig(patch_size=(4, 8, 8), latent_channels=24, hidden_size=256),
        text=TextConfig(max_length=96),
        dit=DiTConfig(latent_channels=24, depth=8),
        upsampler=TextConfig(depth=3, max_length=96),
        train_vae=TrainConfig(minutes=40.0, batch_size=4, gpu_batch_size=64, learning_rate=4e-3),
        train_language=TrainConfig(
            minutes=1.0, batch_size=128, gpu_batch_size=256, warmup_steps=20
        ),
        train_upsampler=TrainConfig(
            minutes=6.0, batch_size=32, gpu_batch_size=256, learning_rate=6e-3
        ),
        train_dit=TrainConfig(
            minutes=100.0,
            batch_size=16,
            gpu_batch_size=512,
            learning_rate=8e-3,
            warmup_steps=50,
            cooldown_fraction=0.8,
        ),
    ),
}


# -------------------------------------------------------------------------------------------- play


@dataclass(frozen=True)
class PlayPreset:
    """A model of a game, frame after frame, and its training; see play/model.py."""

    game: str = "tiles"  # one of world.game.GAMES
    context: int = 1  # clean frames that a new frame is made from
    shift: float = 3.0  # s of `flow.shift_sigma`
    noise_augmentation: float = 0.5  # in training, the highest noise level of the past
    games: int = 3_000  # played for the training
    game_steps: int = 200  # of each
    rare_fraction: float = 0.5  # of the pieces of play: as often of a rare kind as of a common one
    dit: DiTConfig = field(
        default_factory=lambda: DiTConfig(
            patch_size=(1, 4, 4),
            latent_channels=3,  # pixels, not latents: red, green, blue
            hidden_size=128,
            depth=4,
            text_size=0,
            num_actions=5,
        )
    )
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            minutes=9.5,
            batch_size=16,
            gpu_batch_size=128,
            learning_rate=6e-3,
            warmup_steps=50,
            cooldown_fraction=0.6,
        )
    )

    def __post_init__(self) -> None:
        _check_parts(self, PLAY_PARTS)
        check_fields(self)
        if self.game_steps < self.context:
            raise ValueError(
                f"game_steps={self.game_steps} should be at least context={self.context}"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def on_gpu(self) -> "PlayPreset":
        """The preset with its number for a GPU in place of that for two cores."""
        return replace(self, train=_stage_on_gpu(self.train))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PlayPreset":
        """Build a preset from what `to_dict` gave; errors are those of `Preset.from_dict`."""
        return _preset_from_dict(cls, PLAY_PARTS, values)


PLAY_PARTS = {"dit": DiTConfig, "train": TrainConfig}
PLAY_PRESETS = {
    "play-tiles": PlayPreset(),
    "play-platform": PlayPreset(
        game="platform",
        context=16,
        shift=10.0,
        noise_augmentation=0.15,
        dit=DiTConfig(
            patch_size=(1, 8, 8),
            latent_channels=3,
            hidden_size=128,
            depth=4,
            text_size=0,
            num_actions=6,
        ),
        train=TrainConfig(
            minutes=28.0,
            batch_size=4,
            gpu_batch_size=64,
            learning_rate=6e-3,
            warmup_steps=50,
            cooldown_fraction=0.6,
        ),
    ),
}
