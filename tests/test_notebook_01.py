"""Notebook 01: its checkers tell right from wrong, and the scene builder answers."""

import re
from dataclasses import replace

import pytest
import torch

from minisora.widgets.camera import (
    AROUND,
    DEPTHS,
    UNIT,
    CameraRig,
    guides,
    render_camera,
    rig_scene,
    world_map,
)
from minisora.widgets.scene import SceneBuilder, render_scene, slices
from minisora.world.dataset import sample_scene
from minisora.world.families import SOLO_MOTIONS
from minisora.world.parse import parse
from minisora.world.phrases import MOTION_WORDS
from minisora.world.render import pixel_grid, render
from minisora.world.scene import CAMERAS, simulate
from tests.conftest import rejected, unwritten


def thrown(
    x, floor, vx, vy, gravity, times, half=0.5, up=1, slide=False, through=False, flight_of=None
):
    aloft = times if through else times.clamp(max=-2 * vy / (flight_of or gravity))
    y = floor + up * (vy * aloft + half * (flight_of or gravity) * aloft**2)
    return torch.stack([x + vx * (times if slide else aloft), y], dim=1)


def test_check_thrown(checks, capsys):
    assert checks.check_thrown(thrown)
    for fault, wrong in {
        "still to be written": unwritten,
        "through the floor": lambda *a: thrown(*a, through=True),
        "slides on": lambda *a: thrown(*a, slide=True),
        "y points down": lambda *a: thrown(*a, up=-1),
        "half of gravity": lambda *a: thrown(*a, half=1.0, through=True),
        "gravity is an argument": lambda *a: thrown(*a, flight_of=1.0),
        "wrong way round": lambda *a: thrown(*a).flip(-1),
        "float64": lambda *a: thrown(*a).float(),
        r"shape \(2, 17\)": lambda *a: thrown(*a).T,
        "not list": lambda *a: thrown(*a).tolist(),
        "y is wrong in the air": lambda *a: thrown(*a) * torch.tensor([1.0, 0.9]),
    }.items():
        rejected(checks.check_thrown, wrong, fault, capsys)


def describe(scene, size=True, texture=True, motion=lambda m: MOTION_WORDS[m][0][0]):
    obj = scene.objects[0]
    size = obj.size if size else ""
    texture = scene.texture if texture else "plain"
    background = f"on a {scene.background} {texture} background"
    return f"a {size} {obj.color} {obj.shape} {motion(obj.motion)} {background}"


def test_check_describe(checks, capsys):
    assert checks.check_describe(describe)
    for fault, wrong in {
        "still to be written": unwritten,
        "leaves the size open": lambda s: describe(s, size=False),
        "says texture 'plain'; in the scene it is": lambda s: describe(s, texture=False),
        "no verb of its own": lambda s: describe(s, motion=lambda m: m),
        "says motion 'falling'": lambda s: describe(
            s, motion=lambda m: "standing still" if m == "still" else "falling"
        ),
        "names no shape": lambda s: f"{s.objects[0].color} on a black background",
        "names 2 objects": lambda s: describe(s) + ", a red circle",
        "not SceneObject": lambda s: s.objects[0],
    }.items():
        rejected(checks.check_describe, wrong, fault, capsys)


def find(frame, background, color, hard=False):
    away = color[:, None, None] - background
    alpha = (((frame - background) * away).sum(0) / away.square().sum(0)).clamp(0, 1)
    alpha = (alpha > 0.02).float() if hard else alpha
    x, y = pixel_grid(*alpha.shape)
    return torch.stack([(alpha * x).sum(), (alpha * y).sum()]) / alpha.sum()


def indices(frame, background, color):
    _, H, W = frame.shape
    return (find(frame, background, color) * min(H, W) + torch.tensor([W, H]) - 1) / 2


def test_check_find(checks, capsys):
    assert checks.check_find(find)
    for fault, wrong in {
        "still to be written": unwritten,
        "x comes first": lambda *a: find(*a).flip(0),
        "column and row;": indices,
        "row and column;": lambda *a: indices(*a).flip(0),
        "y points down": lambda *a: find(*a) * torch.tensor([1.0, -1.0]),
        "half a pixel": lambda f, s, c: find(f, s, c) - 1 / min(f.shape[1:]),
        "shorter": lambda f, s, c: (
            find(f, s, c) * min(f.shape[1:]) / torch.tensor([f.shape[2], f.shape[1]])
        ),
        "weigh(ed)? .*coverage": lambda *a: find(*a, hard=True),
        "not a number": lambda *a: torch.full((2,), torch.nan),
        "only the background": lambda *a: torch.zeros(2),
        "not tuple": lambda *a: tuple(find(*a).tolist()),
    }.items():
        rejected(checks.check_find, wrong, fault, capsys)


def leaked(training, test):
    known = render(training)
    return [
        i
        for i, video in enumerate(render(test))
        if (known - video).abs().amax((1, 2, 3, 4)).min() < 1e-3
    ]


def test_check_leaked(checks, capsys):
    assert checks.check_leaked(leaked)

    def blank(s):
        return replace(s, seed=None)

    def words(s):
        return (
            s.background,
            s.texture,
            {(o.shape, o.color, o.size, o.motion) for o in s.objects},
        )

    for fault, wrong in {
        "still to be written": unwritten,
        "does not reach the pixels": lambda training, test: [
            i for i, s in enumerate(test) if s in training
        ],
        "whichever object": lambda training, test: [
            i for i, s in enumerate(test) if blank(s) in map(blank, training)
        ],
        "another position": lambda training, test: [
            i for i, s in enumerate(test) if words(s) in [words(t) for t in training]
        ],
        "equal .* in every field": lambda training, test: [],
        "clip is new": lambda training, test: list(range(len(test))),
        "list of indices": lambda training, test: [s for s in test if s in training],
        "sorted": lambda training, test: leaked(training, test)[::-1],
    }.items():
        rejected(checks.check_leaked, wrong, fault, capsys)


@pytest.mark.parametrize("height,width,num_frames", [(32, 32, 17), (24, 40, 9), (40, 24, 1)])
def test_slices_go_through_the_object(height, width, num_frames):
    scene = sample_scene(
        2, motion="still", shape="circle", num_frames=num_frames, height=height, width=width
    )
    video = render([scene], num_frames, height, width)[0]
    truth = simulate(scene, num_frames, bottom=height / min(height, width)).positions[:, 0]
    x_t, y_t = slices(video, truth)
    assert x_t.shape == (3, num_frames, width) and y_t.shape == (3, num_frames, height)
    column, row = (
        ((truth[0] * min(height, width) + torch.tensor([width, height]) - 1) / 2)
        .round()
        .long()
        .tolist()
    )
    assert torch.equal(x_t[:, 0], video[:, 0, row]) and torch.equal(
        y_t[:, 0], video[:, 0, :, column]
    )


def test_render_scene_is_pure_and_says_what_is_true():
    choice = ("heart", "green", "large", "falling", "white", "grid", 3)
    a, b = render_scene(*choice), render_scene(*choice)
    assert (a.text, a.words) == (b.text, b.words) and a.text != render_scene(*choice[:-1], 4).text
    assert (
        len(re.findall(r"<img alt=\"[^\"]+", a.text)) == 2
        and "as asked." in a.words
        and "Seen" in a.words
    )
    assert (
        "Held out: no training clip shows a green circle"
        in render_scene("circle", "green", *choice[2:]).words
    )
    with pytest.raises(ValueError, match="looks like a still one"):
        render_scene("circle", "red", "small", "spinning", "black", "plain", 0)


@pytest.mark.parametrize("motion", SOLO_MOTIONS)
def test_every_motion_has_an_answer(motion):
    assert (
        f"({motion})" in render_scene("star", "red", "small", motion, "navy", "gradient", 1).words
    )


def test_the_scene_builder_answers_and_shows_errors():
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    builder = SceneBuilder()
    assert "<img" in builder.output.value and "yellow star" in builder.words.value
    shown = builder.output.value
    builder.controls["seed"].value = 7
    assert builder.output.value != shown
    builder.controls["motion"].value = "spinning"
    shown = builder.output.value
    builder.controls["shape"].value = "circle"
    assert (
        "✗" in builder.words.value
        and "looks like a still one" in builder.words.value
        and builder.output.value == shown
    )
    builder.controls["motion"].value = "growing"
    builder.controls["color"].value = "green"
    assert "✗" not in builder.words.value and "Held out" in builder.words.value
    for control in builder.controls.values():
        assert control.description and (
            getattr(control, "tooltip", None) or getattr(control, "description_tooltip", None)
        )


# ---------------------------------------------------------------------------------- the camera rig


@pytest.mark.parametrize("kind", ["still", "pans left", "pans right", "pans up", "pans down"])
def test_the_frame_is_a_piece_of_the_map(kind):
    scene = rig_scene(kind, 30 / UNIT / 1.2)  # 30 pixels at the end, whole ones in even frames
    path = simulate(scene, 17).camera
    video = render([scene], 17, 64, 64)[0]
    for frame in (0, 8, 16):
        x, y = (path[frame, :2] * UNIT).round().int().tolist()
        left, top = int(AROUND[0] * UNIT) + x - UNIT, int(AROUND[1] * UNIT) + y - UNIT
        seen = world_map(scene, path[frame])[:, max(top, 0) : top + 64, left : left + 64]
        assert torch.allclose(seen, video[:, frame, max(-top, 0) :], atol=1e-4), (kind, frame)


@pytest.mark.parametrize(
    "kind,axis,index", [("pans left", 0, 32), ("looks right and back", 0, 46), ("pans down", 1, 44)]
)
def test_a_guide_lies_on_an_edge_of_its_layer(kind, axis, index):
    video = render([rig_scene(kind, 0.6)], 17, 64, 64)[0]
    piece = video[:, :, index] if axis == 0 else video[:, :, :, index]  # (3, T, 64)
    found = set()
    for name, places in guides(rig_scene(kind, 0.6), axis, (2 * index + 1 - 64) / 64):
        for frame, place in enumerate(places.tolist()):
            pixel = (place + 1) * 32 - 0.5
            around = piece[:, frame, max(int(pixel) - 2, 0) : int(pixel) + 4]
            if not 3 <= pixel < 60 or (name != "object" and (around[0] > 0).any()):
                continue  # out of the frame, or behind the ball
            found.add(name)
            if name == "object":
                assert (around[0] > 0.9).all()
            else:
                assert (around[:, -1] - around[:, 0]).abs().min() > 0.08, (name, frame)
    assert found >= ({"far hills", "object"} if axis == 0 and index == 32 else {"near hills"})


def test_depth_is_the_slope_of_a_guide():
    scene = rig_scene("pans right", 1.0)
    way = simulate(scene, 17).camera[-1, 0]
    for name, places in guides(scene, 0, 1 / 64) + guides(scene, 0, 29 / 64):
        assert float(places[0] - places[-1]) == pytest.approx(DEPTHS[name] * float(way), abs=1e-5)


@pytest.mark.parametrize("kind", CAMERAS)
def test_the_rig_says_what_its_camera_does(kind):
    a, b = render_camera(kind, 0.5, 8), render_camera(kind, 0.5, 8)
    assert (a.text, a.words) == (b.text, b.words)
    caption = re.search(r"Caption: (.*?)\. At", a.words).group(1)
    assert kind in (parse(caption).camera or ("still",))
    assert all("alt=" in tag for tag in re.findall(r"<img[^>]*>", a.text))
    if kind != "still":
        assert a.text != render_camera(kind, 0.55, 8).text
        assert a.text != render_camera(kind, 0.5, 9).text


@pytest.mark.parametrize(
    "wrong,fault",
    [
        (("rolls", 0.5, 0), "kind='rolls'"),
        (("still", 1.5, 0), "between 0 and 1"),
        (("still", 0.5, 17), "frame=17"),
    ],
)
def test_a_rig_that_cannot_be_is_refused(wrong, fault):
    with pytest.raises(ValueError, match=fault):
        render_camera(*wrong)


def test_the_rig_answers_while_it_is_dragged():
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    rig = CameraRig()
    for name, value in (("amount", 0.2), ("frame", 3), ("kind", "zooms out")):
        shown = rig.output.value
        rig.controls[name].value = value
        assert "✗" not in rig.words.value and rig.output.value != shown, name
    assert rig.controls["amount"].continuous_update and rig.controls["frame"].continuous_update
