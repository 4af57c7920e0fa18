"""The vector-field explorer (notebook 05): the field at one noise level, particles on their way through it, and where the exact flow has them."""

from functools import lru_cache

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
    """Every stop of a sampler on evenly spaced noise levels, (steps + 1, N, P); `eta` is DDIM's alone."""
    if solver not in SAMPLERS:
        raise ValueError(f"solver {solver!r} is not known; it is one of {', '.join(SAMPLERS)}")
    options = (
        {"eta": eta, "generator": torch.Generator().manual_seed(0)} if solver == "ddim" else {}
    )
    stops = []
    end = SAMPLERS[solver](
        velocity,
        noise,
        sigma_schedule(steps).to(noise),
        callback=lambda i, sigma, x, x_0: stops.append(x),
        **options,
    )
    return torch.cat([*stops, end])


def path_to(stops: torch.Tensor, sigma: float) -> torch.Tensor:
    """The way from noise to level `sigma`, straight between stops: (up to steps + 2, N, P), the last is where the particles are."""
    steps = len(stops) - 1
    done = min(int((1 - sigma) * steps + 1e-6), steps - 1)
    share = (1 - sigma) * steps - done
    return torch.cat(
        [stops[: done + 1], (stops[done] + share * (stops[done + 1] - stops[done]))[None]]
    )


@lru_cache(maxsize=128)
def exact_walk(name: str, solver: str = "heun", steps: int = 64, eta: float = 0.0) -> torch.Tensor:
    """A walk through a dataset's exact field; kept, because that field never changes."""
    return walk(mixture(name).velocity, starts(), solver, steps, eta)


def frame(axes, title: str) -> None:
    """Square axes that show the plane from −3 to 3."""
    axes.set(
        title=title,
        xlim=(-3, 3),
        ylim=(-3, 3),
        aspect="equal",
        xticks=(-2, 0, 2),
        yticks=(-2, 0, 2),
    )


@torch.no_grad()
def draw_field(
    axes, velocity: Velocity, sigma: float, color: str = GREY, count: int = 13, **options
) -> None:
    """Arrows of where a step goes at level `sigma`, which is against the velocity; an arrow is an eighth of its length."""
    line = torch.linspace(-2.8, 2.8, count)
    x = torch.cartesian_prod(line, line)[None]
    v = -velocity(x, torch.full(x.shape[:2], sigma))[0]
    options = {"angles": "xy", "scale_units": "xy", "scale": 8, "width": 0.005} | options
    axes.quiver(*x[0].T.numpy(), *v.T.numpy(), color=color, **options)


def draw_paths(axes, path: torch.Tensor, color: str = BLUE, **options) -> None:
    """Paths (stops, N, 2), all as one line with gaps."""
    gap = torch.full_like(path[:1], torch.nan)
    x, y = torch.cat([path, gap]).transpose(0, 1).flatten(0, 1).T.numpy()
    axes.plot(x, y, color=color, **({"linewidth": 0.8, "alpha": 0.7} | options))


def render_flow(
    velocities: dict[tuple[str, str], Velocity],
    dataset: str = "moons",
    field: str = "exact",
    solver: str = "euler",
    steps: int = 6,
    sigma: float = 0.3,
    eta: float = 0.0,
) -> Html:
    """The field at level σ with the particles' paths down to it, and beside it the particles against those of the exact flow.

    Args:
        velocities: learned fields by (dataset, field), as ("moons", "network"); the field "exact" is always there.

    Raises:
        ValueError: a name that is not known, or a field that no one learned.
    """
    data = mixture(dataset)
    if field != "exact" and (dataset, field) not in velocities:
        raise ValueError(
            f"no {field} has learned the {dataset} here; choose the exact field, or train one with train_plane"
        )
    if field == "exact":
        velocity, stops = data.velocity, exact_walk(dataset, solver, steps, eta)
    else:
        velocity = velocities[dataset, field]
        stops = walk(velocity, starts(), solver, steps, eta)
    path, right = path_to(stops, sigma), path_to(exact_walk(dataset), sigma)[-1]
    here, chance = path[-1], solver == "ddim" and eta > 0
    off = float((here - right).norm(dim=-1).mean())
    verdict = (
        "chance moves them: compare the clouds, not the pairs"
        if chance
        else f"they are {off:.3f} from the exact flow's on average"
    )
    figure, (left, beside) = new_axes(7.6, 3.9, columns=2)
    draw_field(left, velocity, sigma)
    draw_paths(left, path)
    left.plot(*here.T, "o", color=BLUE, markersize=4)
    frame(left, f"{field} field at σ = {sigma:.2f}, paths down to it")
    beside.plot(
        *data.sample(600, torch.Generator().manual_seed(1))[0].T,
        ".",
        color="#dddddd",
        markersize=3,
        label="data",
    )
    if not chance:
        draw_paths(beside, torch.stack([here, right]), color=GREY)
    beside.plot(*right.T, "s", color=ORANGE, markersize=5, fillstyle="none", label="exact flow")
    beside.plot(*here.T, "o", color=BLUE, markersize=4, label=f"{solver}, {steps} steps")
    beside.legend(loc="lower right", fontsize=8)
    frame(beside, "chance: compare the clouds" if chance else f"off by {off:.3f} on average")
    calls, extra = (
        steps * (2 if solver == "heun" else 1),
        f" with eta {eta:g}" if solver == "ddim" else "",
    )
    words = f"{dataset}, {field} field, {solver}{extra}, {steps} steps ({calls} calls). Particles at σ = {sigma:.2f}: {verdict}."
    return drawn(figure, words)


class FlowExplorer(Panel):
    """Menus for dataset, field and solver, sliders for steps, noise level and eta, over `render_flow`.

    Args:
        networks: dataset → trained network, as {"moons": network}.
    """

    def __init__(self, networks: dict[str, torch.nn.Module]):
        velocities = {(name, "network"): network for name, network in networks.items()}
        controls = {
            "dataset": menu("dataset", DATASETS, about="What the noise becomes"),
            "field": menu(
                "field", ("exact", "network"), about="The closed form, or what a network learned"
            ),
            "solver": menu("solver", SAMPLERS, about="How a step is taken"),
            "steps": slider("steps", 6, 1, 50, about="Steps from noise to data"),
            "sigma": slider("noise level σ", 0.3, 0.0, 1.0, 0.05, about="1 is noise, 0 is data"),
            "eta": slider(
                "eta", 0.0, 0.0, 1.0, 0.1, about="Fresh noise in every step; only ddim listens"
            ),
        }
        super().__init__(lambda **values: render_flow(velocities, **values), controls, height=370)
