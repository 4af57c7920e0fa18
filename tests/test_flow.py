import pytest
import torch

from minisora.compare.ddpm import alphas_cumprod, clean_and_noise_from_v, v_from
from minisora.flow import (
    add_noise,
    clean_from_velocity,
    flow_loss,
    noise_from_velocity,
    shift_sigma,
    sigma_schedule,
    velocity_of,
)
from minisora.masks import MASKS, draw_sigma


def test_conversions_round_trip():
    x_0, noise = torch.randn(2, 4, 5, 3, dtype=torch.float64).unbind(0)
    sigma = torch.rand(4, 5, 1, dtype=torch.float64)
    x_t, velocity = add_noise(x_0, noise, sigma), velocity_of(x_0, noise)
    assert torch.allclose(clean_from_velocity(x_t, velocity, sigma), x_0)
    assert torch.allclose(noise_from_velocity(x_t, velocity, sigma), noise)
    bar = torch.rand(4, 5, 1, dtype=torch.float64)
    x_t = bar.sqrt() * x_0 + (1 - bar).sqrt() * noise
    back = clean_and_noise_from_v(x_t, v_from(x_0, noise, bar), bar)
    assert torch.allclose(back[0], x_0) and torch.allclose(back[1], noise)


def test_velocity_is_the_derivative():
    x_0, noise = torch.randn(2, 6, dtype=torch.float64)
    sigma = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.functional.jacobian(lambda s: add_noise(x_0, noise, s), sigma)
    assert torch.allclose(slope, velocity_of(x_0, noise))


@pytest.mark.parametrize("schedule,name", [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_ddpm_schedules_are_those_of_diffusers(schedule, name):
    schedulers = pytest.importorskip("diffusers.schedulers", reason="diffusers is not installed")
    theirs = schedulers.DDPMScheduler(1000, beta_schedule=name).alphas_cumprod
    assert torch.allclose(alphas_cumprod(schedule).float(), theirs, rtol=1e-3, atol=1e-6)


def test_rectified_flow_is_that_of_diffusers():
    schedulers = pytest.importorskip("diffusers.schedulers", reason="diffusers is not installed")
    scheduler = schedulers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    ours = shift_sigma(torch.linspace(1, 1 / 1000, 1000), 3.0)
    assert torch.allclose(scheduler.sigmas, ours, atol=1e-5)


def test_schedule_runs_from_noise_to_clean():
    sigmas = sigma_schedule(20, 3.0)
    assert sigmas[0] == 1 and sigmas[-1] == 0 and (sigmas.diff() < 0).all() and len(sigmas) == 21
    assert sigmas[10] == pytest.approx(0.75)
    with pytest.raises(ValueError, match="too few"):
        sigma_schedule(0)
    with pytest.raises(ValueError, match="linear or cosine"):
        alphas_cumprod("quadratic")


def levels(grid=(5, 3, 4), count=2000, **options):
    return draw_sigma(count, grid, torch.Generator().manual_seed(0), **options).view(count, *grid)


def test_drawn_levels_are_of_many_kinds_and_half_of_them_pure():
    assert sum(MASKS.values()) == pytest.approx(1.0)
    sigma = levels(count=4000)
    flat = sigma.flatten(1)
    one = (flat == flat[:, :1]).all(1) & (flat[:, 0] > 0)
    assert one.float().mean() == pytest.approx(0.5 + 0.05 / 12, abs=0.03), (
        "a box may be the whole frame"
    )
    assert (sigma == 0).flatten(1).any(1).float().mean() == pytest.approx(0.35, abs=0.03), (
        "something is given"
    )
    plain = levels(count=4000, kinds={"one level": 0.5, "a level a frame": 0.3, "start given": 0.2})
    assert (plain == plain[..., :1, :1]).all(), "one level a latent frame"
    frame = plain[..., 0, 0]
    clean = (frame == 0).any(1)
    assert (frame == frame[:, :1]).all(1).float().mean() == pytest.approx(0.5, abs=0.03)
    assert clean.float().mean() == pytest.approx(0.2, abs=0.03)
    assert (frame[clean, 0] == 0).all() and (frame[:, -1] > 0).all()
    assert frame[clean, 1].eq(0).float().mean() == pytest.approx(0.5 * 0.75, abs=0.06)


@pytest.mark.parametrize(
    "kind", ["start given", "end given", "ends given", "run given", "box made"]
)
def test_a_part_is_given_and_the_rest_has_one_level(kind):
    sigma = levels(kinds={kind: 1.0})
    given = sigma == 0
    made = torch.where(given, float("nan"), sigma).flatten(1)
    assert (
        (made.nan_to_num(2).amin(1) == made.nan_to_num(-1).amax(1))
        .logical_or(given.flatten(1).all(1))
        .all()
    )
    share = given.flatten(1).float().mean(1)
    assert share.max() < 1 or kind == "run given"
    if kind == "box made":
        boxes = ~given[:, 0]
        assert (
            (given == given[:, :1]).all() and boxes.flatten(1).any(1).all() and (share == 0).any()
        )
        rows, columns = boxes.any(2), boxes.any(1)
        assert torch.equal(boxes, rows[:, :, None] & columns[:, None, :]), (
            "a box is all of its rows in all of its columns"
        )
        assert all((edge.int().diff(dim=1) == 1).sum(1).max() <= 1 for edge in (rows, columns)), (
            "without a gap"
        )
    else:
        frames = given[..., 0, 0]
        assert (given == frames[..., None, None]).all() and frames.any(1).all()
        first, last = frames[:, 0], frames[:, -1]
        expected = {"start given": (1.0, 0.0), "end given": (0.0, 1.0), "ends given": (1.0, 1.0)}
        if kind in expected:
            assert (first.float().mean(), last.float().mean()) == expected[kind]
        else:
            assert 0.1 < first.float().mean() < 0.6 and len(frames.unique(dim=0)) > 10


def test_an_image_has_something_to_make():
    for kind in ("one level", "start given", "ends given", "box made"):
        assert (levels((1, 3, 4), kinds={kind: 1.0}) > 0).flatten(1).any(1).all()
    with pytest.raises(ValueError, match="one level, a level a frame"):
        levels(kinds={"everything given": 1.0})


def test_loss_is_zero_for_what_is_given():
    x_0, noise, guess = torch.randn(3, 2, 6, 4).unbind(0)
    sigma = torch.tensor([[0.0, 0.5, 1.0, 0.0, 0.2, 0.3]]).expand(2, -1)
    loss = flow_loss(guess, x_0, noise, sigma)
    assert (
        loss.shape == (2, 6) and (loss[:, [0, 3]] == 0).all() and (loss[:, [1, 2, 4, 5]] > 0).all()
    )
    assert flow_loss(velocity_of(x_0, noise), x_0, noise, sigma).max() == 0
