"""Earlier formulations of the same task: schedules, targets, and draws of noise levels.

    x_t = a(t) x_0 + s(t) noise, t in [0, 1]
        schedule: flow (a = 1 − t, s = t); linear and cosine (a = √ᾱ, s = √(1 − ᾱ), as DDPM)
    network(x_t, t) ──► prediction ──► x_0, noise
        target: velocity, noise (ε), clean (x_0), v

Everything else in this package uses rectified flow and its velocity. Here the other formulations
learn the same data in the plane (toy2d.py), where it takes seconds and every sample can be compared
with the ground truth. `python -m data.experiments.objectives_report` prints the comparison.
"""

from collections.abc import Callable

import torch

from minisora.compare.ddpm import alphas_cumprod
from minisora.compare.toy2d import Mixture, PlaneNet
from minisora.flow import shift_sigma

SCHEDULES = ("flow", "linear", "cosine")
TARGETS = ("velocity", "noise", "clean", "v")
DRAWS = ("uniform", "logit-normal", "shifted")


def coefficients(schedule: str, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The factors a and s of x_t = a x_0 + s noise at times t in [0, 1], each of t's shape.

    Raises:
        ValueError: a schedule that is not one of SCHEDULES.
    """
    if schedule == "flow":
        return 1 - t, t
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is not known; it is one of {', '.join(SCHEDULES)}")
    clean = torch.ones(1, dtype=torch.float64)
    table = torch.cat([clean, alphas_cumprod(schedule)]).to(t)  # ᾱ at t = 0, 1/1000, … 1
    steps = t * (len(table) - 1)
    below = steps.floor().long().clamp(max=len(table) - 2)
    bar = torch.lerp(table[below], table[below + 1], steps - below)
    return bar.sqrt(), (1 - bar).sqrt()


def target_of(
    kind: str, x_0: torch.Tensor, noise: torch.Tensor, a: torch.Tensor, s: torch.Tensor
) -> torch.Tensor:
    """What the network learns to predict.

    The velocity noise − x_0, the noise (Eq. (14) of arXiv:2006.11239), x_0, or v = a noise − s x_0
    (arXiv:2202.00512).

    Raises:
        ValueError: a kind that is not one of TARGETS.
    """
    if kind == "velocity":
        return noise - x_0
    if kind == "noise":
        return noise
    if kind == "clean":
        return x_0
    if kind == "v":
        return a * noise - s * x_0
    raise ValueError(f"target={kind!r} is not known; it is one of {', '.join(TARGETS)}")


def clean_and_noise_from(
    kind: str, prediction: torch.Tensor, x_t: torch.Tensor, a: torch.Tensor, s: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve for x_0 and noise: x_t and the prediction are two linear equations in them.

    Where a or s is 0, its value has no part in x_t, and any value will do.
    """
    if kind == "velocity":
        return (x_t - s * prediction) / (a + s), (x_t + a * prediction) / (a + s)
    if kind == "v":
        power = a**2 + s**2
        return (a * x_t - s * prediction) / power, (s * x_t + a * prediction) / power
    if kind == "noise":
        return (x_t - s * prediction) / a.clamp(min=1e-4), prediction
    return prediction, (x_t - a * prediction) / s.clamp(min=1e-4)


def draw_times(
    kind: str, count: int, generator: torch.Generator, shift: float = 3.0
) -> torch.Tensor:
    """Draw times for training, (count,).

    "uniform"; "logit-normal", Eq. (19) of arXiv:2403.03206 with m = 0 and s = 1; or "shifted",
    which is uniform and then moved towards noise.

    Raises:
        ValueError: a kind that is not one of DRAWS.
    """
    if kind not in DRAWS:
        raise ValueError(f"times={kind!r} are not known; they are one of {', '.join(DRAWS)}")
    if kind == "logit-normal":
        return torch.randn(count, generator=generator).sigmoid()
    uniform = torch.rand(count, generator=generator)
    return shift_sigma(uniform, shift) if kind == "shifted" else uniform


# x_t (1, N, P), t () → x_0, noise
Guess = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def ddim_step(
    x_t: torch.Tensor, guess: Guess, schedule: str, t: torch.Tensor, t_next: torch.Tensor
) -> torch.Tensor:
    """Mix the guesses of x_0 and noise again at the next time. Eq. (12) of arXiv:2010.02502, σ = 0.

    For the schedule "flow" it is Euler's step.
    """
    x_0, noise = guess(x_t, t)
    a, s = coefficients(schedule, t_next)
    return a * x_0 + s * noise


def ddpm_step(
    x_t: torch.Tensor,
    guess: Guess,
    schedule: str,
    t: torch.Tensor,
    t_next: torch.Tensor,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draw the next point from the posterior given the guess of x_0.

    Mean and variance are those of Eqs. (6) and (7) of arXiv:2006.11239, for any two times.
    """
    x_0, _ = guess(x_t, t)
    a, s = coefficients(schedule, t)
    a_next, s_next = coefficients(schedule, t_next)
    ratio = a / a_next  # √α of this step
    beta = s**2 - ratio**2 * s_next**2  # variance that the step from t_next to t adds
    mean = (a_next * beta * x_0 + ratio * s_next**2 * x_t) / s**2
    std = beta.clamp(min=0).sqrt() * s_next / s
    return mean + std * torch.randn(x_t.shape, generator=generator)


def train_objective(
    data: Mixture,
    schedule: str = "flow",
    target: str = "velocity",
    times: str = "uniform",
    steps: int = 1500,
    batch_size: int = 512,
    learning_rate: float = 3e-3,
    seed: int = 0,
) -> Guess:
    """Train a small network on one objective.

    Returns:
        A function: x_t (1, N, P), t () → the trained network's guess of x_0 and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = PlaneNet()
    optimizer = torch.optim.Adam(network.parameters())
    for step in range(steps):
        rate = learning_rate * min(1.0, 2.0 * (1 - step / steps))  # held, then down to zero
        optimizer.param_groups[0]["lr"] = rate
        x_0 = data.sample(batch_size, generator)  # (1, batch_size, 2)
        t = draw_times(times, batch_size, generator)[None]  # (1, batch_size)
        noise = torch.randn(x_0.shape, generator=generator)
        a, s = (c[..., None] for c in coefficients(schedule, t))
        prediction = network(a * x_0 + s * noise, t)
        loss = (prediction - target_of(target, x_0, noise, a, s)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def guess(x_t: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        prediction = network(x_t, t.expand(x_t.shape[:2]))
        return clean_and_noise_from(target, prediction, x_t, *coefficients(schedule, t))

    return guess


def sample_with(
    guess: Guess,
    schedule: str,
    num_inference_steps: int,
    count: int = 2000,
    sampler: str = "ddim",
    seed: int = 1,
) -> torch.Tensor:
    """Draw points (1, count, 2) from noise.

    Args:
        sampler: "ddim" or "ddpm".
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, count, 2, generator=generator)
    times = torch.linspace(0.999, 0, num_inference_steps + 1)  # at t = 1, ᾱ is almost 0
    for t, t_next in zip(times[:-1], times[1:], strict=True):
        if sampler == "ddim":
            x = ddim_step(x, guess, schedule, t, t_next)
        else:
            x = ddpm_step(x, guess, schedule, t, t_next, generator)
    return x
