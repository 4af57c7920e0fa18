"""Failures are found where they were planted and nowhere else; limits are nested as they say."""

import json
from dataclasses import replace

import pytest
import torch

from minisora.measure.clips import (
    LASTING,
    change_word,
    denoise_clips,
    extend_clips,
    generate_clips,
    pairs,
    sentence,
)
from minisora.measure.clips import test_prompts as prompts_of
from minisora.measure.failures import (
    changes,
    collision_figures,
    edit_figures,
    frames_of,
    gravity_of,
    length_figures,
    motion_figures,
    pair_figures,
)
from minisora.measure.limits import lengths_of
from minisora.world.captions import OPPOSITE
from minisora.world.dataset import is_held_out, sample_scene
from minisora.world.parse import ObjectSpec, parse
from minisora.world.render import render
from minisora.world.scene import GRAVITY


@pytest.mark.parametrize("motion", ["falling", "thrown"])
def test_true_falls_have_the_worlds_gravity(motion):
    scenes = [sample_scene(i, motion=motion) for i in range(6)]
    figures = motion_figures(render(scenes), motion)
    assert figures["law"]["value"] == figures["nothing changes"]["value"] == 1
    assert (
        figures["gravity"]["mean"] == pytest.approx(GRAVITY, abs=0.03)
        and figures["law error"]["mean"] < 0.01
    )
    weak = [replace(s, objects=(replace(s.objects[0], gravity=0.5),)) for s in scenes]
    assert motion_figures(render(weak), motion)["law"]["value"] < 0.5
    if motion == "falling":
        assert figures["falls, then rests"]["value"] == 1


def test_gravity_of_exact_positions():
    times = torch.arange(17) / 8
    for gravity in (0.5, 1.0):
        track = torch.stack([0 * times, -0.8 + 0.5 * gravity * times**2], dim=1)
        assert gravity_of(track) == pytest.approx(gravity, abs=1e-4)
    assert (
        torch.tensor(gravity_of(torch.full((17, 2), torch.nan))).isnan()
        and torch.tensor(gravity_of(torch.zeros(17, 2))).isnan()
    )


def test_changes_are_found_and_named():
    scene = sample_scene(5, motion="still", color="red", shape="square", size="large")
    (thing,) = scene.objects
    true = render([scene])[0]
    assert not any(changes(frames_of(true)).values())
    for name, other in (
        ("vanishes", ()),
        ("changes color", (replace(thing, color="blue"),)),
        ("changes shape", (replace(thing, shape="circle"),)),
        ("changes size", (replace(thing, radius=0.6 * thing.radius),)),
    ):
        video = true.clone()
        video[:, 9:] = render([replace(scene, objects=other)])[0][:, 9:]
        found = changes(frames_of(video))
        assert found[name] and sum(found.values()) == 1, (name, found)
    assert changes(frames_of(video.flip(1)))["changes size"]
    late = render([replace(scene, objects=())])[0]
    late[:, 9:] = true[:, 9:]
    assert changes(frames_of(late))["appears"]


def test_collisions_keep_momentum_and_order():
    scenes = pairs(6, collide=True)
    assert all(s.collides for s in scenes)
    figures = collision_figures(render(scenes), prompts_of(scenes))
    assert all(
        figures[name]["value"] == 1
        for name in ("law", "the hit one moves", "touch, then move", "momentum kept")
    )
    through = [
        replace(s, objects=(s.objects[0], replace(s.objects[1], x=-9.0, y=-9.0))) for s in scenes
    ]  # nothing there to hit
    assert collision_figures(render(through), prompts_of(scenes))["the hit one moves"]["value"] == 0
    early = [
        replace(
            s,
            objects=(
                replace(s.objects[0], vx=0.0, vy=0.0),
                replace(s.objects[1], vx=s.objects[0].vx / 2, vy=s.objects[0].vy / 2),
            ),
        )
        for s in scenes
    ]
    figures = collision_figures(render(early), prompts_of(scenes))
    assert figures["law"]["value"] == 0 and figures["touch, then move"]["value"] == 0, (
        "one that moves before it is touched"
    )


def test_pairs_are_bound_and_mirrored_ones_are_found():
    scenes = pairs(8)
    videos, prompts = render(scenes), prompts_of(scenes)
    figures = pair_figures(videos, prompts)
    assert (
        figures["left or right"]["value"]
        == figures["above or below"]["value"]
        == figures["bound"]["value"]
        == 1
    )
    assert (
        figures["mirrored"]["value"]
        == figures["too many"]["value"]
        == figures["too few"]["value"]
        == figures["swapped"]["value"]
        == 0
    )
    mirrored = pair_figures(videos.flip(3).flip(4), prompts)
    assert mirrored["mirrored"]["value"] == 1
    swapped = [
        replace(
            s,
            objects=(
                replace(s.objects[0], shape=s.objects[1].shape),
                replace(s.objects[1], shape=s.objects[0].shape),
            ),
        )
        for s in scenes
    ]
    figures = pair_figures(render(swapped), prompts)
    assert figures["swapped"]["value"] > 0.8 and figures["bound"]["value"] < 0.5
    alone = [replace(s, objects=s.objects[:1]) for s in scenes]
    assert pair_figures(render(alone), prompts)["too few"]["value"] == 1


def test_a_changed_word_is_one_word():
    for i in range(8):
        scene = sample_scene(i, motion=LASTING[i % 4])
        asked, (thing,) = parse(sentence(scene)), scene.objects
        assert asked.objects == (ObjectSpec(thing.shape, thing.color, thing.size, thing.motion),)
        assert (asked.background, asked.texture) == ((scene.background,), scene.texture)
        for attribute in ("color", "shape", "motion", "background"):
            changed = change_word(scene, attribute)
            assert not is_held_out(changed.objects[0].shape, changed.objects[0].color)
            before, after = vars(scene.objects[0]), vars(changed.objects[0])
            differ = [name for name in before if before[name] != after[name]]
            assert differ + ["background"] * (scene.background != changed.background) == [attribute]


def test_edit_figures_tell_what_else_changed():
    scenes = [sample_scene(i, motion="still") for i in range(4)]
    changed = [change_word(s, "color") for s in scenes]
    before, after = render(scenes), render(changed)
    figures = edit_figures(before, after, changed, "color")
    assert figures["obeyed"]["value"] == figures["stayed"]["value"] == 1
    assert figures["position"]["mean"] < 0.02 and figures["outside"]["mean"] < 1e-3
    assert edit_figures(before, before, changed, "color")["obeyed"]["value"] == 0
    others = [
        sample_scene(i + 50, motion="still", background=s.background) for i, s in enumerate(scenes)
    ]
    figures = edit_figures(before, render(others), scenes)
    assert (
        figures["obeyed"] is None
        and figures["stayed"]["value"] < 1
        and figures["position"]["mean"] > 0.1
    )


def test_length_figures_follow_the_frames():
    scenes = [sample_scene(i, motion="still") for i in range(3)]
    videos = render(scenes, num_frames=21)
    videos[:, :, 15:] = render([replace(s, objects=()) for s in scenes], num_frames=21)[:, :, 15:]
    figures = length_figures(videos, [sentence(s) for s in scenes])
    assert (
        figures["by_frame"] == [1.0] * 15 + [0.0] * 6 and figures["nothing changes"]["value"] == 0
    )


def test_a_clip_that_loses_its_object_is_lost_and_not_left_out():
    scenes = [sample_scene(i, motion="still") for i in range(8)]
    changed = [change_word(s, "color") for s in scenes]
    gone = [replace(s, objects=()) for s in changed[:4]]
    before, after = render(scenes), render(gone + changed[4:])
    figures = edit_figures(before, after, changed, "color")
    for name, value in (("obeyed", 0.5), ("stayed", 0.5), ("lost", 0.5), ("outline", 0.5)):
        assert figures[name]["value"] == value and figures[name]["n"] == 8, name
    figures = edit_figures(after, before, scenes, "color")
    assert figures["obeyed"]["value"] == 1 and figures["obeyed"]["n"] == 8
    assert figures["stayed"]["n"] == 4, "what was not there cannot stay"


def test_intervals_are_over_clips_and_not_over_attributes():
    scenes = [sample_scene(i, motion="still", color="red") for i in range(4)]
    others = [sample_scene(i, motion="circling", color="red") for i in range(4)]
    figures = edit_figures(render(scenes), render(others), scenes)
    assert figures["stayed"]["n"] == 4 and figures["stayed"]["value"] == 0


def test_clips_without_objects_have_figures_too():
    empty = render([replace(sample_scene(0), objects=())] * 3)
    scenes = [sample_scene(0, motion="still")] * 3
    assert edit_figures(empty, empty, scenes, "color")["stayed"] is None
    figures = motion_figures(empty, "falling")
    assert figures["law"]["value"] == 0 and figures["gravity"] is None
    assert figures["falls, then rests"] is None and figures["outline"]["value"] == 0
    assert figures["vanishes"]["value"] == 1
    two = prompts_of(pairs(3, collide=True))
    assert collision_figures(empty, two)["momentum kept"] is None
    assert collision_figures(empty, two)["the hit one moves"]["value"] == 0
    assert pair_figures(empty, prompts_of(pairs(3)))["too few"]["value"] == 1


def test_figures_of_true_clips_are_right_at_another_rate():
    shape = {"num_frames": 25, "height": 32, "width": 32, "fps": 12}
    for motion in ("falling", "thrown"):
        scenes = [sample_scene(i, motion=motion, **shape) for i in range(4)]
        figures = motion_figures(render(scenes, **shape), motion, 12)
        assert figures["law"]["value"] == 1
        assert figures["gravity"]["mean"] == pytest.approx(GRAVITY, abs=0.05)
    scenes = pairs(4, collide=True, **shape)
    figures = collision_figures(render(scenes, **shape), prompts_of(scenes), 12)
    assert figures["law"]["value"] == 1


def test_conditioning_frames_are_kept(model):
    scenes = pairs(2)
    assert all(s.relation in OPPOSITE for s in scenes)
    videos, prompts = render(scenes), prompts_of(scenes)
    sigma = [0.0, 0.0, 1.0, 1.0, 1.0]
    generated = denoise_clips(model, videos, prompts, sigma, num_inference_steps=2)
    assert generated.shape == videos.shape
    assert torch.equal(generated[:, :, :5], videos[:, :, :5])
    assert (generated - videos)[:, :, 5:].abs().max() > 0.1
    assert extend_clips(model, prompts, 33, num_inference_steps=1).shape[2] == 33
    first, again = (generate_clips(model, prompts, 3, num_inference_steps=1) for _ in range(2))
    assert torch.equal(first, again)


def test_lengths_follow_the_model(model):
    assert lengths_of(model) == [9, 17, 33, 49]
    model.preset = replace(model.preset, num_frames=25)
    assert lengths_of(model) == [13, 25, 49, 73]


@pytest.mark.slow
def test_the_command_writes_both_columns(model, tmp_path, run_command):
    model.save(tmp_path / "model")
    out = tmp_path / "limits.json"
    words = ["--clips", 1, "--json", out, "--model", tmp_path / "model"]
    said = run_command("limits", *words, "--num-inference-steps", 1, "--device", "cpu")
    assert "as typed" in said and "upsampled" in said
    table = json.loads(out.read_text())
    parts = {"physics", "space_time", "interaction", "length", "mitigation"}
    assert set(table) == {"settings", "typed", "upsampled"} and table["settings"]["clips"] == 1
    assert set(table["typed"]) == parts | {"plausibility"} and set(table["upsampled"]) == parts
    typed = table["typed"]
    assert typed["physics"]["thrown"]["ground truth"]["outline"]["n"] == 1
    for key in ("49", "window"):
        assert len(typed["length"][key]["generated"]["by_frame"]) == 49
    assert set(typed["plausibility"]["preference"]["vanish"]) == {"error", "floor"}
    assert typed["mitigation"]["best_of"]["4"]["n"] == 1
