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
LAYERS = {"far hills": HILLS[0], "near hills": HILLS[1]}
DEPTHS = {"far hills": FAR, "near hills": NEAR, "object": 1.0}
DASHES = {  # pixels on, pixels off
    "far hills": (4, 4),
    "near hills": (11, 5),
    "object": (6, 0),
}
LINES = {"far hills": "dotted", "near hills": "dashed", "object": "solid"}
CORNERS = (  # of the frame, in half-widths, and the first one again
    (-1, -1),
    (1, -1),
    (1, 1),
    (-1, 1),
    (-1, -1),
)
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
    move, *_ = kind.split()
    way = amount * REACH.get(move, 0.0)
    if kind == "zooms out":
        way = -way
    camera = Camera(kind, way) if way else Camera()
    ball = SceneObject("circle", "yellow", "large", "still", radius=0.42, x=0.4, y=-0.3)
    return Scene((ball,), "navy", "hills", camera=camera, family="camera")


def world_map(scene: Scene, path: torch.Tensor) -> torch.Tensor:
    """Draw the world around the frame: (3, H, W) in [-1, 1], the world's (0, 0) in the middle.

    It is what a larger frame would show, so that the frame is a piece of it, pixel by pixel, where
    the zoom is 1. Hills far away go along with the camera, as the moon does with a walker.

    Args:
        scene: its objects are at rest.
        path: (3,) x, y and zoom of the camera at the moment.
    """
    x, y, _ = path.tolist()
    right = round(x * UNIT)  # where the camera is, in pixels
    down = round(y * UNIT)
    reach_x, reach_y = AROUND
    columns = int(2 * reach_x * UNIT)
    rows = int(2 * reach_y * UNIT)
    # the camera is in the middle of a frame so large that the map is a part of it
    width = columns + 2 * abs(right)
    height = rows + 2 * abs(down)
    zoom = 2 * UNIT / min(height, width)
    still = replace(scene, camera=Camera())
    drawing = prepare([still], 1, height, width)
    drawing = replace(
        drawing,
        positions=(drawing.positions - path[:2].float()) * zoom,
        radii=drawing.radii * zoom,
        camera=torch.tensor([[[x, y, zoom]]]),
    )
    world = draw(drawing, height, width)[0, :, 0]
    left = abs(right) - right
    top = abs(down) - down
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
    if axis == 0:
        along, across = ball.x, ball.y
    else:
        along, across = ball.y, ball.x
    starts = []
    if abs(across - at) < ball.radius:
        starts.append(("object", along))
    for name in LAYERS:
        for edge in _edges(name, axis, at):
            starts.append((name, edge))

    places = []
    for name, start in starts:
        moved = DEPTHS[name] * path[:, axis]
        place = (start - moved) * path[:, 2]
        places.append((name, place))
    return places


def _edges(name: str, axis: int, at: float) -> list[float]:
    """Where the outline of a layer of hills crosses a row or a column, in half-widths."""
    _, level, size, rate, phase, _ = LAYERS[name]
    if axis == 1:
        x = torch.tensor([at])
        outline = level + size * wave(x, rate, phase)
        return outline.tolist()
    x = torch.linspace(-5, 5, 4001)
    outline = level + size * wave(x, rate, phase)
    above = outline > at
    crosses = above[1:] != above[:-1]
    return x[1:][crosses].tolist()


# ---------------------------------------------------------------------------------------- pictures


def _stroke(image: Image.Image, points: np.ndarray, on: int, off: int, width: int = 2) -> None:
    """Draw a line through points (n, 2) in pixels, white with a black edge."""
    dx, dy = np.diff(points, axis=0).T
    steps = np.hypot(dx, dy)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    length = along[-1]
    pen = ImageDraw.Draw(image)
    for color, wide in (("black", width + 2), ("white", width)):
        for start in np.arange(0, length, on + off):
            ends = [start, min(start + on, length)]
            x0, x1 = np.interp(ends, along, points[:, 0])
            y0, y1 = np.interp(ends, along, points[:, 1])
            pen.line([x0, y0, x1, y1], color, wide)


def _dot(image: Image.Image, point: np.ndarray, radius: int) -> None:
    """Draw a white disc with a black edge around a point in pixels."""
    x, y = point
    pen = ImageDraw.Draw(image)
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], "white", "black")


def _box(path: torch.Tensor) -> np.ndarray:
    """The corners (5, 2) of what the frame shows, in world coordinates."""
    middle = path[:2].numpy()
    zoom = float(path[2])
    return middle + np.array(CORNERS) / zoom


def _on_map(points: np.ndarray, scale: int) -> np.ndarray:
    """World coordinates (n, 2) → pixels of the map, of which `scale` are a pixel of the frame."""
    from_corner = points + np.array(AROUND)
    return from_corner * UNIT * scale


def draw_map(scene: Scene, frame: int, scale: int = 2) -> Image.Image:
    """The world with the frame at its start (dashed) and now (solid), and the camera's path.

    From the middle, two lines at the heights of the hills show how far each layer went along.
    """
    path = simulate(scene, FRAMES).camera
    now = path[frame]
    world = world_map(scene, now)
    (pixels,) = to_frames(world[:, None])
    image = Image.fromarray(pixels)
    size = (image.width * scale, image.height * scale)
    image = image.resize(size, Image.Resampling.NEAREST)

    way = _on_map(path[:, :2].numpy(), scale)  # (T, 2)
    first_box = _on_map(_box(path[0]), scale)
    box = _on_map(_box(now), scale)
    _stroke(image, first_box, 5, 5, width=1)
    _stroke(image, box, 6, 0)
    _stroke(image, way, 6, 0, width=1)
    for point in way:
        _dot(image, point, 2)
    _dot(image, way[frame], 5)
    for name in LAYERS:
        _draw_layer_way(image, name, now[:2].numpy(), scale)
    return image


def _draw_layer_way(image: Image.Image, name: str, camera: np.ndarray, scale: int) -> None:
    """Draw how far a layer of hills went along with the camera, now at (2,), onto the map."""
    depth, level, *_ = LAYERS[name]
    start = np.array([0.0, level])
    end = (1 - depth) * camera + start
    ends = _on_map(np.array([start, end]), scale)
    _stroke(image, ends, *DASHES[name], width=2)
    x, y = ends[1]
    pen = ImageDraw.Draw(image)
    pen.polygon([x - 5, y + 9, x + 5, y + 9, x, y], "white", "black")


def draw_slice(scene: Scene, video: torch.Tensor, axis: int, index: int, frame: int) -> Image.Image:
    """A row (axis 0) or a column (1) of a clip through all frames, with the slopes drawn in.

    Time runs down beside a row, and to the right beside a column.
    """
    piece = video.select(2 + axis, index)  # (3, T, SIDE)
    (pixels,) = to_frames(piece[:, None])
    across, long = 3, 8  # picture pixels for a pixel and for a frame
    image = Image.fromarray(pixels)
    size = (SIDE * across, FRAMES * long)
    image = image.resize(size, Image.Resampling.NEAREST)

    middles = (np.arange(FRAMES) + 0.5) * long  # y of each frame
    at = (2 * index + 1 - SIDE) / SIDE
    for name, places in guides(scene, axis, at):
        x = (places.numpy() + 1) * UNIT * across
        points = np.stack([x, middles], axis=1)
        _stroke(image, points, *DASHES[name], width=1)
    y = middles[frame]
    pen = ImageDraw.Draw(image)
    pen.polygon([0, y - 5, 0, y + 5, 9, y], "white", "black")
    if axis == 1:
        return image.transpose(Image.Transpose.TRANSPOSE)
    return image


def _slices(scene: Scene, video: torch.Tensor, frame: int) -> str:
    """The slices in which this camera's motion shows, as HTML."""
    kind = scene.camera.kind
    if kind in ("pans up", "pans down"):
        ball = scene.objects[0]
        column = int((ball.x + 1) * UNIT)
        cuts = [("y–t slice, the ball's column: ball and both layers", 1, column)]
    else:
        cuts = [("x–t slice, middle row: ball and far hills", 0, SIDE // 2)]
        if not kind.startswith("zooms"):
            row = int((LOW + 1) * UNIT)
            cuts.append(("x–t slice, lower row: near hills", 0, row))
    parts = []
    for title, axis, index in cuts:
        image = draw_slice(scene, video, axis, index, frame)
        parts.append(f"<div>{title}<br>{image_html(image, title)}</div>")
    return side_by_side(*parts)


@lru_cache(maxsize=64)
def _clip(kind: str, amount: float) -> tuple[torch.Tensor, str]:
    """The clip of a rig (3, T, H, W), and as HTML: encoding is slow, so moments share it."""
    scene = rig_scene(kind, amount)
    video = render([scene], FRAMES, SIDE, SIDE)[0]
    clip = Clip(video, "the clip", scale=3)
    return video, clip.html()


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
    still = picture(to_frames(video)[frame], f"frame {frame}", 3 * SIDE)
    alt = f"the world, with the camera's path and the frame at its start and at frame {frame}"
    around = image_html(draw_map(scene, frame), alt)
    moment = side_by_side(
        f"<div>frame {frame}<br>{still}</div>",
        f"<div>the world<br>{around}</div>",
    )
    legend = f'<p style="margin:4px 0">{html.escape(_legend())}</p>'
    slices = side_by_side(playing, _slices(scene, video, frame))
    return Html(page(moment, legend, slices), words)


def _legend() -> str:
    """What the lines of the map and of the slices mean."""
    layers = []
    for name, depth in DEPTHS.items():
        layers.append(f"{name} {LINES[name]} (depth {depth:g})")
    return (
        "map: frame at the start dashed, now solid; ▲ a point of the far (dotted) and of the near "
        f"hills (dashed), which began in the middle. Slices: {', '.join(layers)}"
    )


def _moment(scene: Scene, frame: int) -> str:
    """Where the camera is, and what each layer has done in the frame."""
    path = simulate(scene, FRAMES).camera
    x, y, zoom = path[frame].tolist()
    words = f"At {frame / FPS:.2f} s the camera is at x {x:.2f}, y {y:.2f}, zoom {zoom:.2f}"
    if zoom != 1:
        return f"{words}. A zoom moves all layers alike."
    if x == y == 0:
        return f"{words}."
    if x:
        axis, way = "x", x
    else:
        axis, way = "y", y
    layers = [f"{name} {-depth * way:+.2f}" for name, depth in DEPTHS.items()]
    moved = ", ".join(layers)
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
