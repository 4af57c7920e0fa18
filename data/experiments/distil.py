"""Sentences in few sampling steps: a student of the shipped `tiny` learns what its teacher does.

    python -m data.experiments.distil reflow|shortcut [--minutes 15] [--out DIR] [--name NAME]

reflow (arXiv:2209.03003) learns the straight line from noise to the clip that the teacher makes of
it; shortcut (arXiv:2410.12557) learns the teacher's velocity, and is its own teacher for long
steps. Guidance is in the targets: a student is called once a step. Its text encoder is the
teacher's, and stays as it is. The minutes hold all but the evaluation: clips, compiling, training.
An entry for each NAME goes to data/results/distil.json, and the student to DIR.
"""

import argparse
import copy
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from data.experiments import step_sizes
from data.experiments.few_steps import RESULTS, STUDENT_STEPS, accuracies, spreads, write_entry
from minisora.config import GUIDANCE_SCALE, TrainConfig
from minisora.device import autocast, compiled
from minisora.dit import DiT
from minisora.flow import add_noise, flow_loss, sigma_schedule
from minisora.masks import draw_sigma
from minisora.measure.stats import lines_of
from minisora.patchify import Size, grid_of, patchify, positions_of
from minisora.pipeline import MiniSora
from minisora.sampling import Condition, Velocity, draw_noise, euler, guided
from minisora.text import EOS, PAD
from minisora.threads import choose_threads
from minisora.train.data import Latents, WorldClips, cache_latents, world_of
from minisora.train.loop import Figures, LossOf, fit
from minisora.train.stages import NO_MASK

PAIRS_FRACTION = 0.55  # of the minutes of reflow
PAIRS_AT_ONCE = 32
WORDS = 32  # plain captions have up to 24; with one length, one shape is compiled
Trained = tuple[dict[int, DiT], dict[str, Any]]  # a student for each number of steps, and records


@dataclass(frozen=True)
class Settings:
    """What a trial can be told."""

    minutes: float = 15.0
    teacher_steps: int = 8  # for a pair; as good as 20, see data/results/steps.json
    clips: int = 6_000  # of shortcut
    batch_size: int = 16
    learning_rate: float = 3e-3
    prompts: int = 256  # of the evaluation
    spread_clips: int = 200
    compile: bool = True


def own_grid(model: MiniSora) -> Size:
    """Tokens of a clip of the model's own size, as (t, h, w)."""
    preset = model.preset
    shape = model.latent_shape(preset.num_frames, preset.height, preset.width)
    return grid_of(shape, preset.dit.patch_size)


@torch.no_grad()
def read(model: MiniSora, ids: torch.Tensor) -> Condition:
    """Prompts for the transformer, from ids (B, S)."""
    return model.text.read(ids, own_grid(model))


def guided_by(teacher: MiniSora, network: DiT, ids: torch.Tensor) -> Velocity:
    """The teacher's velocity with guidance. network: its transformer, or the compiled twin."""
    nothing = torch.full_like(ids, PAD)
    nothing[:, 0] = EOS
    positions = positions_of(own_grid(teacher))
    prompt = read(teacher, ids)
    negative = read(teacher, nothing)
    return guided(network, positions, prompt, negative, GUIDANCE_SCALE)


def train(student: DiT, loss_of: LossOf, settings: Settings, seconds: float) -> dict[str, Any]:
    """Train for so long, and print the loss every minute; the weights are averaged at the end."""
    config = TrainConfig(
        minutes=max(seconds, 0.0) / 60,
        learning_rate=settings.learning_rate,
        warmup_steps=50,
        cooldown_fraction=0.8,
    )
    losses: list[float] = []

    def kept(step: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        loss, figures = loss_of(step, generator)
        losses.append(float(loss.detach()))
        return loss, figures

    def say(_: Any, record: dict) -> None:
        last = losses[-100:]
        mean = sum(last) / len(last)
        print(f"step {record['step']}: loss {mean:.4f}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        history = fit("student", student, kept, config, folder, progress=False, on_evaluate=say)
    return {"steps": len(losses), "seconds": round(seconds), "history": history[::10]}


# ------------------------------------------------------------------------------------------ reflow


@torch.no_grad()
def draw_pairs(teacher: MiniSora, settings: Settings, until: float) -> list[torch.Tensor]:
    """Let the teacher make clips of plain captions, from training seeds, `until` a time.

    Returns:
        noise (M, N, P) and x_0 (M, N, P) in float16, ids (M, S) of the captions; at least a batch.
    """
    preset = teacher.preset
    world = world_of(preset)
    network = compiled(teacher.dit, settings.compile)
    sigmas = sigma_schedule(settings.teacher_steps, preset.shift)
    latents = teacher.latent_shape(preset.num_frames, preset.height, preset.width)
    shape = (PAIRS_AT_ONCE, preset.vae.latent_channels, *latents)
    generator = torch.Generator().manual_seed(0)
    batches: list[tuple[torch.Tensor, ...]] = []
    while not batches or time.perf_counter() < until:
        first = PAIRS_AT_ONCE * len(batches)
        after = first + PAIRS_AT_ONCE
        scenes = [world.scene(i) for i in range(first, after)]
        captions = [world.captions(scene, 2)[0] for scene in scenes]
        ids, _ = teacher.tokenizer(captions)
        assert ids.shape[1] <= WORDS
        ids = F.pad(ids, (0, WORDS - ids.shape[1]), value=PAD)
        noise = patchify(draw_noise(shape, generator, "cpu"), preset.dit.patch_size)
        with autocast("cpu", teacher.dtype):
            velocity = guided_by(teacher, network, ids)
            x_0 = euler(velocity, noise, sigmas, start=torch.ones(PAIRS_AT_ONCE, 1))
        batches.append((noise.half(), x_0.half(), ids))
        if len(batches) % 50 == 0:
            print(f"{after} pairs", flush=True)
    return [torch.cat(parts) for parts in zip(*batches, strict=True)]


def reflow(teacher: MiniSora, settings: Settings) -> Trained:
    """Learn the straight lines of pairs, section 3 of arXiv:2209.03003, from the teacher on."""
    began = time.perf_counter()
    total = 60 * settings.minutes
    until = began + PAIRS_FRACTION * total
    noises, clean, captions = draw_pairs(teacher, settings, until)
    spent = time.perf_counter() - began
    print(f"{len(clean)} pairs, {len(clean) / spent:.1f} a second", flush=True)
    student = copy.deepcopy(teacher.dit)
    network = compiled(student, settings.compile)
    grid = own_grid(teacher)
    shift = teacher.preset.shift
    B = settings.batch_size

    def loss_of(step: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        rows = torch.randint(len(clean), (B,), generator=generator)
        x_0 = clean[rows].float()
        noise = noises[rows].float()
        sigma = draw_sigma(B, grid, generator, shift, NO_MASK)[:, :1]  # (B, 1)
        x_t = add_noise(x_0, noise, sigma[..., None])
        condition = read(teacher, captions[rows])
        velocity = network(x_t, sigma, positions_of(grid), *condition)
        return flow_loss(velocity, x_0, noise, sigma).mean(), {}

    told = train(student, loss_of, settings, total - spent)
    told["pairs"] = len(clean)
    told["seconds for pairs"] = round(spent)
    return dict.fromkeys(STUDENT_STEPS, student), told


# ---------------------------------------------------------------------------------------- shortcut


def shortcut_loss(
    teacher: MiniSora, asked: DiT, network: DiT, data: Latents, batch_size: int
) -> LossOf:
    """Three quarters learn the teacher's guided velocity, the others two steps of the student.

    Eq. (5) of arXiv:2410.12557, but with the weights as they are, not averaged. asked and network
    are the transformers of teacher and student, or their compiled twins.
    """
    preset = teacher.preset
    grid = own_grid(teacher)
    positions = positions_of(grid)
    own = batch_size // 4  # clips with long steps, the first ones of a batch
    others = batch_size - own

    def loss_of(step: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        latents, ids, _ = data.draw(batch_size, generator)
        x_0 = patchify(latents, preset.dit.patch_size)
        noise = torch.randn(x_0.shape, generator=generator)
        size, levels = step_sizes.draw_steps(own, preset.shift, generator)
        level = draw_sigma(others, grid, generator, preset.shift, NO_MASK)[:, :1]
        sigma = torch.cat([levels[:, :1], level])  # (B, 1)
        sizes = torch.cat([size, size.new_zeros(others, 1)])
        x_t = add_noise(x_0, noise, sigma[..., None])
        condition = read(teacher, ids)
        first = [part[:own] for part in condition]

        def half(x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            return network(x, at, positions, *first, actions=size - 1)

        # before the targets: in older versions of torch, autocast keeps copies of the weights that
        # are made without gradients, and they pass none on
        predicted = network(x_t, sigma, positions, *condition, actions=sizes)
        with torch.no_grad():
            doubled = step_sizes.two_steps(half, x_t[:own], levels)
            velocity = guided_by(teacher, asked, ids[own:])
            taught = velocity(x_t[own:], level)
        target = torch.cat([doubled, taught])
        error = (predicted - target).square().mean((1, 2))  # (B,)
        figures = {"to itself": error[:own].mean(), "to teacher": error[own:].mean()}
        return error.mean(), figures

    return loss_of


def shortcut(teacher: MiniSora, settings: Settings) -> Trained:
    """Learn long steps beside short ones, from the teacher on."""
    began = time.perf_counter()
    world = world_of(teacher.preset)
    data = cache_latents(
        teacher.vae,
        teacher.tokenizer,
        WorldClips(world, captions_per_clip=2),
        settings.clips,
        progress=False,
        measure=False,
    )
    data = Latents(data.latents, data.ids[:, ::2])  # plain captions alone
    student = step_sizes.with_step_sizes(teacher.dit)
    asked = compiled(teacher.dit, settings.compile)
    network = compiled(student, settings.compile)
    loss_of = shortcut_loss(teacher, asked, network, data, settings.batch_size)
    spent = time.perf_counter() - began
    total = 60 * settings.minutes
    told = train(student, loss_of, settings, total - spent)
    told["seconds for clips"] = round(spent)
    plain = {}
    for steps in STUDENT_STEPS:
        size = step_sizes.size_for(steps)
        plain[steps] = step_sizes.for_one_size(student, size)
    return plain, told


TRIALS = {"reflow": reflow, "shortcut": shortcut}


def run(trial: str, teacher: MiniSora, settings: Settings, out: Path) -> dict[str, Any]:
    """Train, save a student for each number of steps in a folder of `out`, and measure."""
    told = {
        **asdict(settings),
        "model": "tiny",
        "trial": trial,
        "dtype": teacher.dtype_name,
        "threads": torch.get_num_threads(),
    }
    print(told, flush=True)
    transformers, training = TRIALS[trial](teacher, settings)
    students = {}
    for steps, dit in transformers.items():
        student = copy.deepcopy(teacher)
        student.dit = dit.eval()
        student.save(out / f"{steps} steps", {"distilled": told, **teacher.metadata})
        students[steps] = student
    return {
        "as asked": accuracies(teacher, students, settings.prompts),
        "spread": spreads(teacher, students, settings.spread_clips),
        "training": training,
        "settings": told,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--out", type=Path, help="folder of the student; a temporary one if none")
    parser.add_argument("--name", help="of the entry; the trial's own if none")
    for name, usual in asdict(Settings()).items():
        if name != "compile":
            flag = "--" + name.replace("_", "-")
            parser.add_argument(flag, type=type(usual), default=usual)
    asked = vars(parser.parse_args())
    trial = asked.pop("trial")
    name = asked.pop("name") or trial
    out = asked.pop("out") or Path(tempfile.mkdtemp(prefix="distil-"))
    choose_threads("training")
    teacher = MiniSora.load("tiny", "cpu")
    entry = run(trial, teacher, Settings(**asked), out)
    write_entry(RESULTS, name, entry)
    print(lines_of(entry["spread"]))
    print(f"the student is in {out}")


if __name__ == "__main__":
    main()
