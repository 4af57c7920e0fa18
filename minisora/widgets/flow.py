"""The vector-field explorer (notebook 05): the field at one noise level, and particles in it.

velocity, noise ── a sampler ──► stops (steps + 1, N, 2) ──► the path down to σ
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch

from minisora.compare.toy2d import DATASETS, mixture
from minisora.flow import sigma_schedule
from minisora.sampling import SAMPLERS, Velocity
from minisora.show.plots import new_axes
from minisora.widgets.common import Html, Panel, drawn, menu, slider

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"


def starts(count: int = 40) -> torch.Tensor:
    """The noise at which every walk of the explorer begins, (1, count, 2)."""
    return torch.randn(1, count, 2, generator=torch.Generator().manual_seed(4))


@torch.no_grad()
def walk(
    velocity: Velocity, noise: torch.Tensor, solver: str, steps: int, eta: float = 0.0
) -> torch.Tensor:
    """Every stop of a sampler on evenly spaced noise levels, (steps + 1, N, P).

    Args:
        noise: (1, N, P).
        eta: the fraction of fresh noise, for "ddim" alone.

    Raises:
        ValueError: a solver that is not known, or fewer than one step.
    """
    if solver not in SAMPLERS:
        raise ValueError(f"solver={solver!r} is not known; it is one of {', '.join(SAMPLERS)}")
    options: dict[str, Any] = {}
    if solver == "ddim":
        options = {"eta": eta, "generator": torch.Generator().manual_seed(0)}
    stops: list[torch.Tensor] = []
    end = SAMPLERS[solver](
        velocity,
        noise,
        sigma_schedule(steps).to(noise),
        callback=lambda step, sigma, tokens, x_0: stops.append(tokens),
        **options,
    )
    return torch.cat([*stops, end])


def path_to(stops: torch.Tensor, sigma: float) -> torch.Tensor:
    """The way from noise to level `sigma`, straight between stops; it ends at the particles.

    Args:
        stops: (steps + 1, N, P), as from `walk`.

    Returns:
        (up to steps + 2, N, P).
    """
    steps = len(stops) - 1
    passed = (1 - sigma) * steps
    whole = min(int(passed + 1e-6), steps - 1)
    last = torch.lerp(stops[whole], stops[whole + 1], passed - whole)
    return torch.cat([stops[: whole + 1], last[None]])


@lru_cache(maxsize=128)
def exact_walk(name: str, solver: str = "heun", steps: int = 64, eta: float = 0.0) -> torch.Tensor:
    """A walk through a dataset's exact field; kept, because that field never changes."""
    return walk(mixture(name).velocity, starts(), solver, steps, eta)


def frame(axes: Any, title: str) -> None:
    """Square axes that show the plane from −3 to 3."""
    ticks = (-2, 0, 2)
    axes.set(title=title, xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=ticks, yticks=ticks)


@torch.no_grad()
def draw_field(
    axes: Any,
    velocity: Velocity,
    sigma: float,
    color: str = GREY,
    count: int = 13,
    width: float = 0.005,
    label: str = "",
) -> None:
    """Arrows of where a step goes at level `sigma`: an eighth of the velocity, against it."""
    side = torch.linspace(-2.8, 2.8, count)
    x = torch.cartesian_prod(side, side)[None]
    step = -velocity(x, torch.full(x.shape[:2], sigma))[0]
    units = {"angles": "xy", "scale_units": "xy", "scale": 8}
    axes.quiver(*x[0].T.numpy(), *step.T.numpy(), color=color, width=width, label=label, **units)


def draw_paths(axes: Any, path: torch.Tensor, color: str = BLUE, linewidth: float = 0.8) -> None:
    """Paths (stops, N, 2), all as one line with gaps."""
    gap = torch.full_like(path[:1], torch.nan)
    points = torch.cat([path, gap]).transpose(0, 1).flatten(0, 1)  # path after path
    x, y = points.T.numpy()
    axes.plot(x, y, color=color, linewidth=linewidth, alpha=0.7)


def render_flow(
    velocities: Mapping[tuple[str, str], Velocity],
    dataset: str = "moons",
    field: str = "exact",
    solver: str = "euler",
    steps: int = 6,
    sigma: float = 0.3,
    eta: float = 0.0,
) -> Html:
    """The field at level σ with the paths down to it, and the particles beside the exact flow's.

    Args:
        velocities: learned fields by (dataset, field), as ("moons", "network").

    Raises:
        ValueError: a name that is not known, or a field that no network has learned.
    """
    data = mixture(dataset)
    if field == "exact":
        velocity: Velocity = data.velocity
        stops = exact_walk(dataset, solver, steps, eta)
    elif (dataset, field) in velocities:
        velocity = velocities[dataset, field]
        stops = walk(velocity, starts(), solver, steps, eta)
    else:
        raise ValueError(
            f"no {field} has learned the {dataset} here; choose the exact field, or train one with "
            "train_plane"
        )
    path = path_to(stops, sigma)
    here = path[-1]
    exact = path_to(exact_walk(dataset), sigma)[-1]
    figure, (left, right) = new_axes(7.6, 3.9, columns=2)
    draw_field(left, velocity, sigma)
    draw_paths(left, path)
    left.plot(*here.T, "o", color=BLUE, markersize=4)
    frame(left, f"{field} field at σ = {sigma:.2f}, paths down to it")
    cloud = data.sample(600, torch.Generator().manual_seed(1))[0]
    right.plot(*cloud.T, ".", color="#dddddd", markersize=3, label="data")
    is_random = solver == "ddim" and eta > 0
    verdict = _draw_particles(right, here, exact, f"{solver}, {steps} steps", is_random)
    name = f"{solver} with eta {eta:g}" if solver == "ddim" else solver
    calls = 2 * steps - 1 if solver == "heun" else steps
    words = (
        f"{dataset}, {field} field, {name}, {steps} steps ({calls} calls). "
        f"Particles at σ = {sigma:.2f}: {verdict}."
    )
    return drawn(figure, words)


def _draw_particles(
    axes: Any, here: torch.Tensor, exact: torch.Tensor, label: str, is_random: bool
) -> str:
    """Particles (N, 2) beside those of the exact flow, and how far they are from them in words."""
    axes.plot(*exact.T, "s", color=ORANGE, markersize=5, fillstyle="none", label="exact flow")
    axes.plot(*here.T, "o", color=BLUE, markersize=4, label=label)
    if is_random:
        verdict = "noise moves them: compare the clouds, not the pairs"
        frame(axes, "random: compare the clouds")
    else:
        off = float((here - exact).norm(dim=-1).mean())
        verdict = f"they are {off:.3f} from the exact flow's on average"
        draw_paths(axes, torch.stack([here, exact]), color=GREY)
        frame(axes, f"off by {off:.3f} on average")
    axes.legend(loc="lower right", fontsize=8)
    return verdict


class FlowExplorer(Panel):
    """Menus for dataset, field and solver, sliders for steps, noise level and eta.

    Args:
        networks: dataset → trained network, as {"moons": network}.
    """

    def __init__(self, networks: dict[str, torch.nn.Module]):
        velocities = {(name, "network"): network for name, network in networks.items()}
        fields = ("exact", "network")
        controls = {
            "dataset": menu("dataset", DATASETS, about="What the noise becomes"),
            "field": menu("field", fields, about="The closed form, or what a network learned"),
            "solver": menu("solver", SAMPLERS, about="How a step is taken"),
            "steps": slider("steps", 6, 1, 50, about="Steps from noise to data"),
            "sigma": slider("noise level σ", 0.3, 0.0, 1.0, 0.05, "1 is noise, 0 is data"),
            "eta": slider("eta", 0.0, 0.0, 1.0, 0.1, "Fresh noise in every step of ddim"),
        }

        def render(**values: Any) -> Html:
            return render_flow(velocities, **values)

        super().__init__(render, controls, height=370)
