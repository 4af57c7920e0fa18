"""The camera rig (notebook 01): a camera and how far it goes → what the frame shows, and why.

kind, amount, moment ──► Scene ── render ──► clip; the world around the frame; slices with slopes
"""

import html
import random
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw

from minisora.show.clip import Clip, image_html, to_frames
from minisora.widgets.common import Html, Panel, menu, page, picture, side_by_side, slider
from minisora.world.captions import caption
from minisora.world.render import FAR, HILLS, NEAR, draw, prepare, render, wave
from minisora.world.scene import (
    CAMERAS,
    DIRECTIONS,
    FPS,
    Camera,
    Scene,
    SceneObject,
    check_choice,
    simulate,
)

FRAMES = 17
SIDE = 64  # pixels of the frame
UNIT = SIDE // 2  # pixels of a half-width
AROUND = (3.75, 2.0)  # how far the map goes to each side, in half-widths
REACH = {"pans": 1.2, "zooms": 0.8, "looks": 2.6}  # the largest amount: half-widths; ln of a zoom
DEPTHS = {"far hills": FAR, "near hills": NEAR, "object": 1.0}
DASHES = {"far hills": (4, 4), "near hills": (11, 5), "object": (6, 0)}  # pixels on, pixels off
LINES = {"far hills": "dotted", "near hills": "dashed", "object": "solid"}
LOW = 0.45  # y of the row that cuts the near hills; the middle row cuts the far ones


def rig_scene(kind: str, amount: float) -> Scene:
    """A ball at rest before hills, and a camera that goes some way of its REACH.

    Args:
        kind: one of CAMERAS.
        amount: from 0, no motion, to 1.

    Raises:
        ValueError: another kind, or an amount outside of [0, 1].
    """
    check_choice("kind", kind, CAMERAS)
    if not 0 <= amount <= 1:
        raise ValueError(f"amount={amount:g} is a fraction of the way: between 0 and 1")
    way = amount * REACH.get(kind.split()[0], 0.0)
    camera = Camera(kind, -way if kind == "zooms out" else way) if way else Camera()
    ball = SceneObject("circle", "yellow", "large", "still", 0.42, 0.4, -0.3)
    return Scene((ball,), "navy", "hills", camera=camera, family="camera")


def world_map(scene: Scene, path: torch.Tensor) -> torch.Tensor:
    """Draw the world around the frame: (3, H, W) in [-1, 1], the world's (0, 0) in the middle.

    It is what a larger frame would show, so that the frame is a piece of it, pixel by pixel, where
    the zoom is 1. Hills far away go along with the camera, as the moon does with a walker.

    Args:
        scene: its objects are at rest.
        path: (3,) x, y and zoom of the camera at the moment.
    """
    right, down = (round(float(way) * UNIT) for way in path[:2])
    columns, rows = (int(2 * reach * UNIT) for reach in AROUND)
    width, height = columns + 2 * abs(right), rows + 2 * abs(down)  # its middle is the camera's
    zoom = 2 * UNIT / min(height, width)
    still = prepare([replace(scene, camera=Camera())], 1, height, width)
    drawing = replace(
        still,
        positions=(still.positions - path[:2].float()) * zoom,
        radii=still.radii * zoom,
        camera=torch.tensor([[[float(path[0]), float(path[1]), zoom]]]),
    )
    world = draw(drawing, height, width)[0, :, 0]
    left, top = abs(right) - right, abs(down) - down
    return world[:, top : top + rows, left : left + columns]


def guides(scene: Scene, axis: int, at: float) -> list[tuple[str, torch.Tensor]]:
    """Where the ball and the edges of the hills are in a slice, frame by frame.

    Args:
        axis: 0 for a row, 1 for a column.
        at: y of the row or x of the column. The camera does not move across it.

    Returns:
        (name of the layer, places (T,) in half-widths) for each edge; a layer that is nearer moves
        by more, `depth` times the camera's way.
    """
    path = simulate(scene, FRAMES).camera.float()
    ball = scene.objects[0]
    along, across = (ball.x, ball.y) if axis == 0 else (ball.y, ball.x)
    starts = [("object", along)] if abs(across - at) < ball.radius else []
    for name, (_, level, size, rate, phase, _) in zip(
        ("far hills", "near hills"), HILLS, strict=True
    ):
        if axis == 1:
            edges = level + size * wave(torch.tensor([at]), rate, phase)
        else:
            x = torch.linspace(-5, 5, 4001)
            above = level + size * wave(x, rate, phase) > at
            edges = x[1:][above[1:] != above[:-1]]
        starts += [(name, edge) for edge in edges.tolist()]
    return [(name, (start - DEPTHS[name] * path[:, axis]) * path[:, 2]) for name, start in starts]


# ---------------------------------------------------------------------------------------- pictures


def _stroke(image: Image.Image, points: np.ndarray, on: int, off: int, width: int = 2) -> None:
    """Draw a line through points (n, 2) in pixels, white with a black edge."""
    pen = ImageDraw.Draw(image)
    steps = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    for color, wide in (("black", width + 2), ("white", width)):
        for start in np.arange(0, along[-1], on + off):
            ends = np.array([start, min(start + on, along[-1])])
            x = np.interp(ends, along, points[:, 0])
            y = np.interp(ends, along, points[:, 1])
            pen.line([x[0], y[0], x[1], y[1]], color, wide)


def _box(path: torch.Tensor) -> np.ndarray:
    """The corners (5, 2) of what the frame shows, in world coordinates."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    return path[:2].numpy() + corners / float(path[2])


def draw_map(scene: Scene, frame: int, scale: int = 2) -> Image.Image:
    """The world with the frame at its start (dashed) and now (solid), and the camera's path.

    From the middle, two lines at the heights of the hills show how far each layer went along.
    """
    path = simulate(scene, FRAMES).camera
    now = path[frame]
    world = to_frames(world_map(scene, now)[:, None])[0]
    image = Image.fromarray(world).resize(
        (world.shape[1] * scale, world.shape[0] * scale), Image.Resampling.NEAREST
    )

    def place(points: np.ndarray) -> np.ndarray:
        return (points + np.array(AROUND)) * UNIT * scale

    _stroke(image, place(_box(path[0])), 5, 5, width=1)
    _stroke(image, place(_box(now)), 6, 0)
    _stroke(image, place(path[:, :2].numpy()), 6, 0, width=1)
    pen = ImageDraw.Draw(image)
    for x, y in place(path[:, :2].numpy()):
        pen.ellipse([x - 2, y - 2, x + 2, y + 2], "white", "black")
    x, y = place(now[:2].numpy())
    pen.ellipse([x - 5, y - 5, x + 5, y + 5], "white", "black")
    for name, (depth, level, *_) in zip(("far hills", "near hills"), HILLS, strict=True):
        ends = np.array([[0.0, level], (1 - depth) * now[:2].numpy() + [0.0, level]])
        _stroke(image, place(ends), *DASHES[name], width=2)
        x, y = place(ends)[1]
        pen.polygon([x - 5, y + 9, x + 5, y + 9, x, y], "white", "black")
    return image


def draw_slice(scene: Scene, video: torch.Tensor, axis: int, index: int, frame: int) -> Image.Image:
    """A row (axis 0) or a column (1) of a clip through all frames, with the slopes drawn in.

    Time runs down beside a row, and to the right beside a column.
    """
    piece = video[:, :, index] if axis == 0 else video[:, :, :, index]  # (3, T, SIDE)
    pixels = to_frames(piece[:, None])[0]
    across, long = 3, 8  # picture pixels for a pixel and for a frame
    image = Image.fromarray(pixels).resize((SIDE * across, FRAMES * long), Image.Resampling.NEAREST)
    seconds = (np.arange(FRAMES) + 0.5) * long
    at = (2 * index + 1 - SIDE) / SIDE
    for name, places in guides(scene, axis, at):
        points = np.stack([(places.numpy() + 1) * UNIT * across, seconds], axis=1)
        _stroke(image, points, *DASHES[name], width=1)
    pen = ImageDraw.Draw(image)
    y = seconds[frame]
    pen.polygon([0, y - 5, 0, y + 5, 9, y], "white", "black")
    return image.transpose(Image.Transpose.TRANSPOSE) if axis == 1 else image


def _slices(scene: Scene, video: torch.Tensor, frame: int) -> str:
    """The slices in which this camera's motion shows, as HTML."""
    kind = scene.camera.kind
    middle, low = SIDE // 2, int((LOW + 1) * UNIT)
    column = int((scene.objects[0].x + 1) * UNIT)
    cuts = {"x–t slice, middle row: ball and far hills": (0, middle)}
    if not kind.startswith("zooms"):
        cuts["x–t slice, lower row: near hills"] = (0, low)
    if DIRECTIONS.get(kind.split()[-1], (0, 0))[1]:
        cuts = {"y–t slice, the ball's column: ball and both layers": (1, column)}
    parts = []
    for title, (axis, index) in cuts.items():
        image = draw_slice(scene, video, axis, index, frame)
        parts.append(f"<div>{title}<br>{image_html(image, title)}</div>")
    return side_by_side(*parts)


@lru_cache(maxsize=64)
def _clip(kind: str, amount: float) -> tuple[torch.Tensor, str]:
    """The clip of a rig (3, T, H, W), and as HTML: encoding is slow, so moments share it."""
    video = render([rig_scene(kind, amount)], FRAMES, SIDE, SIDE)[0]
    return video, Clip(video, "the clip", scale=3).html()


def render_camera(kind: str, amount: float, frame: int) -> Html:
    """Show a camera's clip, a moment of it, the world around that, slices, and the caption.

    Args:
        kind, amount: as in `rig_scene`.
        frame: the moment, from 0 to FRAMES − 1.

    Raises:
        ValueError: as `rig_scene`, or no such frame.
    """
    scene = rig_scene(kind, amount)
    if not 0 <= frame < FRAMES:
        raise ValueError(f"frame={frame} is not there; it goes from 0 to {FRAMES - 1}")
    video, playing = _clip(kind, amount)
    text = caption(scene, random.Random(0), "descriptive")
    words = f"Caption: {text}. {_moment(scene, frame)}"
    shown = picture(to_frames(video)[frame], f"frame {frame}", 3 * SIDE)
    alt = f"the world, with the camera's path and the frame at its start and at frame {frame}"
    around = image_html(draw_map(scene, frame), alt)
    legend = (
        "map: frame at the start dashed, now solid; ▲ a point of the far (dotted) and of the near "
        "hills (dashed), which began in the middle. Slices: "
        + ", ".join(f"{name} {LINES[name]} (depth {depth:g})" for name, depth in DEPTHS.items())
    )
    return Html(
        page(
            side_by_side(
                f"<div>frame {frame}<br>{shown}</div>", f"<div>the world<br>{around}</div>"
            ),
            f'<p style="margin:4px 0">{html.escape(legend)}</p>',
            side_by_side(playing, _slices(scene, video, frame)),
        ),
        words,
    )


def _moment(scene: Scene, frame: int) -> str:
    """Where the camera is, and what each layer has done in the frame."""
    x, y, zoom = simulate(scene, FRAMES).camera[frame].tolist()
    words = f"At {frame / FPS:.2f} s the camera is at x {x:.2f}, y {y:.2f}, zoom {zoom:.2f}"
    if zoom != 1:
        return f"{words}. A zoom moves all layers alike."
    if x == y == 0:
        return f"{words}."
    axis, way = ("x", x) if x else ("y", y)
    moved = ", ".join(f"{name} {-depth * way:+.2f}" for name, depth in DEPTHS.items())
    return f"{words}. Since the start, in the frame, in half-widths along {axis}: {moved}."


class CameraRig(Panel):
    """A menu of cameras, and two sliders that answer while they are dragged."""

    def __init__(self) -> None:
        far = "How far the camera goes, as a fraction of the largest way"
        controls = {
            "kind": menu("camera", CAMERAS, "pans right", "What the camera does"),
            "amount": slider("amount", 0.75, 0.0, 1.0, 0.05, far, live=True),
            "frame": slider("frame", 8, 0, FRAMES - 1, about="The moment on the map", live=True),
        }
        super().__init__(render_camera, controls, height=580)
