"""Other ways to put the same task, for comparison: schedules, what the network is asked for, and how noise levels are drawn.

    x_t = a(t) x_0 + s(t) noise,   t in [0, 1]        schedule   flow: a = 1 − t, s = t;   linear, cosine: a = √ᾱ, s = √(1 − ᾱ)
    network(x_t, t) ──► prediction ──► x_0, noise      target     velocity, noise (ε), clean (x_0), v

Rectified flow with its velocity is what everything else in this package uses. Here its elders learn the same data in the plane (`plane.py`),
where it costs seconds and every sample can be held against the truth: `python -m data.experiments.objectives_report` prints the comparison.
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
    """a and s of x_t = a x_0 + s noise at times t in [0, 1], each of t's shape.

    Raises:
        ValueError: a schedule that is not one of SCHEDULES.
    """
    if schedule == "flow":
        return 1 - t, t
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is not known; it is one of {', '.join(SCHEDULES)}")
    table = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod(schedule)]).to(
        t
    )  # ᾱ at t = 0, 1/1000, … 1
    place = t * (len(table) - 1)
    below = place.floor().long().clamp(max=len(table) - 2)
    bar = torch.lerp(table[below], table[below + 1], place - below)
    return bar.sqrt(), (1 - bar).sqrt()


def target_of(
    kind: str, x_0: torch.Tensor, noise: torch.Tensor, a: torch.Tensor, s: torch.Tensor
) -> torch.Tensor:
    """What the network is asked for: noise − x_0, the noise (arXiv:2006.11239, Eq. 14), x_0, or v = a noise − s x_0 (arXiv:2202.00512).

    Raises:
        ValueError: a kind that is not one of TARGETS.
    """
    if kind not in TARGETS:
        raise ValueError(f"target={kind!r} is not known; it is one of {', '.join(TARGETS)}")
    return {"velocity": noise - x_0, "noise": noise, "clean": x_0, "v": a * noise - s * x_0}[kind]


def both_from(
    kind: str, prediction: torch.Tensor, x_t: torch.Tensor, a: torch.Tensor, s: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """x_0 and noise from what the network said: two linear equations. Where one of them is divided by 0, its share of x_t is 0 as well."""
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
    """Times for training, (count,): uniform; logit-normal (arXiv:2403.03206, Eq. 19, m = 0, s = 1); uniform and shifted towards noise.

    Raises:
        ValueError: a kind that is not one of DRAWS.
    """
    if kind not in DRAWS:
        raise ValueError(f"times={kind!r} are not known; they are one of {', '.join(DRAWS)}")
    if kind == "logit-normal":
        return torch.randn(count, generator=generator).sigmoid()
    uniform = torch.rand(count, generator=generator)
    return shift_sigma(uniform, shift) if kind == "shifted" else uniform


Guess = Callable[
    [torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]
]  # x_t (1, N, P), t () → x_0, noise


def ddim_step(
    x_t: torch.Tensor, guess: Guess, schedule: str, t: torch.Tensor, t_next: torch.Tensor
) -> torch.Tensor:
    """Mix the guesses of x_0 and noise again at the next time. Eq. (12) of arXiv:2010.02502 with σ = 0; for `flow` it is Euler's step."""
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
    """Draw the next point from the posterior given x_0: mean and variance of Eqs. (6) and (7) of arXiv:2006.11239, for any two times."""
    x_0, _ = guess(x_t, t)
    (a, s), (a_next, s_next) = coefficients(schedule, t), coefficients(schedule, t_next)
    ratio = a / a_next  # √α of this step
    beta = s**2 - ratio**2 * s_next**2  # variance that the step from t_next to t adds
    mean = (a_next * beta * x_0 + ratio * s_next**2 * x_t) / s**2
    return mean + (beta.clamp(min=0).sqrt() * s_next / s) * torch.randn(
        x_t.shape, generator=generator
    )


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
    """Teach a small network of the plane one objective, and give back what it then believes of x_0 and noise."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = PlaneNet()
    optimizer = torch.optim.Adam(network.parameters())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * min(1.0, 2.0 * (1 - step / steps))
        x_0, t = data.sample(batch_size, generator), draw_times(times, batch_size, generator)[None]
        noise, (a, s) = torch.randn(x_0.shape, generator=generator), coefficients(schedule, t)
        a, s = a[..., None], s[..., None]
        loss = (
            (network(a * x_0 + s * noise, t) - target_of(target, x_0, noise, a, s)).square().mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def guess(x_t: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return both_from(
            target, network(x_t, t.expand(x_t.shape[:2])), x_t, *coefficients(schedule, t)
        )

    return guess


def sample_with(
    guess: Guess,
    schedule: str,
    num_inference_steps: int,
    count: int = 2000,
    sampler: str = "ddim",
    seed: int = 1,
) -> torch.Tensor:
    """Points (1, count, 2) from noise. sampler: "ddim" or "ddpm". Times are evenly spaced; the first is 0.999, where ᾱ is not 0 yet."""
    generator = torch.Generator().manual_seed(seed)
    x, times = (
        torch.randn(1, count, 2, generator=generator),
        torch.linspace(0.999, 0, num_inference_steps + 1),
    )
    for t, t_next in zip(times[:-1], times[1:], strict=True):
        x = (
            ddim_step(x, guess, schedule, t, t_next)
            if sampler == "ddim"
            else ddpm_step(x, guess, schedule, t, t_next, generator)
        )
    return x
