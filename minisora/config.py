"""Every number that decides a model or a training, with a comment where its name does not say it. A preset is one of each; `__init__.py` explains the words."""

from dataclasses import asdict, dataclass, field

GUIDANCE_SCALE = 2.0  # 1 is the prompt alone, 2 goes twice as far from the null prompt; data/LOG.md has the comparison
STEPS = {  # from noise to clip, by how much the condition leaves open
    "upsampled": 4,  # the prompt says where things are
    "typed": 20,  # it does not
    "conditioned": 2,  # some tokens start clean
}


@dataclass(frozen=True)
class VAEConfig:
    patch_size: tuple[int, int, int] = (
        4,
        4,
        4,
    )  # frames, rows, columns that one latent cell stands for
    latent_channels: int = 12  # numbers a cell
    hidden_size: int = 128  # channels inside
    encoder_depth: int = 2  # MLPs in the encoder, each added to what came in (residual)
    depth: int = 4  # transformer blocks in the decoder
    num_heads: int = 4
    window: int = 3  # latent frames that a frame looks at: itself and the two before it


@dataclass(frozen=True)
class TextConfig:
    hidden_size: int = 128  # channels a word
    depth: int = 2
    num_heads: int = 4
    max_length: int = 64  # words of the longest prompt, with the end mark


@dataclass(frozen=True)
class DiTConfig:
    patch_size: tuple[int, int, int] = (1, 2, 2)  # latent frames, rows, columns a token
    latent_channels: int = 12
    hidden_size: int = 256
    depth: int = 6
    num_heads: int = 4
    mlp_ratio: float = 4.0  # numbers inside an MLP for each that goes in
    text_size: int = 128  # TextConfig.hidden_size


@dataclass(frozen=True)
class TrainConfig:
    """One stage of a training. The budget is `minutes` of training time, or exactly `steps` where that is given."""

    minutes: float = 5.0
    steps: int | None = None
    batch_size: int = 64
    learning_rate: float = (
        1e-3  # peak; warmed up, held, and brought to zero over the last `cooldown_fraction`
    )
    warmup_steps: int = 100
    cooldown_fraction: float = 0.4
    ema_decay: float = 0.995  # of the averaged weights that are shipped: about the last 200 steps, because the training is short
    save_every: float = 60.0  # seconds between checkpoints
    seed: int = 0


@dataclass(frozen=True)
class Preset:
    num_frames: int = 17  # 4k + 1
    height: int = 32
    width: int = 32
    fps: int = 8
    pair_fraction: float = 0.25  # share of training clips with two objects
    vae_clips: int = 6_000  # clips that the compressor learns from
    cached_clips: int = 14_000  # clips whose latents are kept for the stages after the compressor
    other_sizes: tuple[tuple[int, int, int], ...] = (
        (1, 32, 32),
        (33, 32, 32),
        (17, 24, 40),
        (17, 40, 24),
    )  # frames, rows, columns
    other_fraction: float = (
        0.05  # of the compressor's and the transformer's steps, for each of these
    )
    captions_per_clip: int = (
        4  # for each cached clip; every second one is the one before it, and says where things are
    )
    detailed_fraction: float = (
        0.4  # of the captions that the transformer learns from, for those that say where things are
    )
    kl_weight: float = 1e-2  # per number of a clip, against a mean squared error
    curriculum_steps: int = 5_000  # of the transformer, at first: text to video in the preset's own size, and nothing else
    curriculum_detailed_fraction: float = 0.8  # `detailed_fraction` in these steps
    prompt_dropout_prob: float = 0.1
    shift: float = 3.0  # noise levels are moved towards noise, where place and motion are settled: σ ← shift·σ / (1 + (shift - 1)·σ)
    noise_augmentation: float = 0.1  # most noise put on given tokens, still called clean: in a long clip they are the model's own work
    vae: VAEConfig = field(default_factory=VAEConfig)
    text: TextConfig = field(default_factory=TextConfig)
    dit: DiTConfig = field(
        default_factory=lambda: DiTConfig(hidden_size=160)
    )  # a smaller one learns more in twenty minutes
    upsampler: TextConfig | None = TextConfig(
        depth=3
    )  # the language model that makes prompts longer, to `text.max_length`; None goes without
    train_vae: TrainConfig = TrainConfig(minutes=4.5, batch_size=4, learning_rate=4e-3)
    train_language: TrainConfig = TrainConfig(minutes=0.2, batch_size=128, warmup_steps=20)
    train_upsampler: TrainConfig = TrainConfig(minutes=2.0, batch_size=32, learning_rate=6e-3)
    train_dit: TrainConfig = TrainConfig(
        minutes=11.7, batch_size=16, learning_rate=1.2e-2, warmup_steps=50, cooldown_fraction=0.8
    )

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Preset":
        """Undo `to_dict`, also after JSON has turned tuples into lists. An unknown field is a TypeError."""
        kinds = {"vae": VAEConfig, "text": TextConfig, "dit": DiTConfig, "upsampler": TextConfig}
        kinds |= {name: TrainConfig for name in values if name.startswith("train_")}
        fixed = lambda v: tuple(map(fixed, v)) if isinstance(v, (list, tuple)) else v
        part = lambda k, v: (
            kinds[k](**{n: fixed(x) for n, x in v.items()})
            if k in kinds and v is not None
            else fixed(v)
        )
        return cls(**{k: part(k, v) for k, v in values.items()})


PRESETS = {"tiny": Preset()}
