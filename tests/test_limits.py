"""Faults are found where they were planted and nowhere else; the whole measurement runs and is nested as it says."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from minisora.cli.main import main
from minisora.measure.clips import LASTING, change_word, make, pairs, remake, sentence, slide
from minisora.measure.clips import test_prompts as prompts_of
from minisora.measure.failures import (
    changes,
    collision_figures,
    edit_figures,
    gravity_of,
    length_figures,
    motion_figures,
    pair_figures,
)
from minisora.measure.stats import mean_of, share
from minisora.world.captions import OPPOSITE, parse, spec_of
from minisora.world.dataset import is_held_out, sample_scene
from minisora.world.render import render
from minisora.world.scene import GRAVITY


def test_shares_and_means_have_intervals():
    assert share([]) is None and mean_of([]) is None and mean_of([1.0]) is None
    assert share([True, False])["value"] == 0.5
    figure = mean_of([1.0, 2.0, 3.0, float("nan"), float("inf")])
    assert figure["mean"] == 2 and figure["n"] == 3 and figure["low"] < 2 < figure["high"]


@pytest.mark.parametrize("motion", ["falling", "thrown"])
def test_true_falls_have_the_worlds_gravity(motion):
    scenes = [sample_scene(i, motion=motion) for i in range(6)]
    figures = motion_figures(render(scenes), motion)
    assert figures["law"]["value"] == figures["kept"]["value"] == 1
    assert (
        figures["gravity"]["mean"] == pytest.approx(GRAVITY, abs=0.03)
        and figures["miss"]["mean"] < 0.01
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
    assert not any(changes(true).values())
    for name, other in (
        ("vanishes", ()),
        ("changes color", (replace(thing, color="blue"),)),
        ("changes shape", (replace(thing, shape="circle"),)),
        ("changes size", (replace(thing, radius=0.6 * thing.radius),)),
    ):
        video = true.clone()
        video[:, 9:] = render([replace(scene, objects=other)])[0][:, 9:]
        found = changes(video)
        assert found[name] and sum(found.values()) == 1, (name, found)
    assert changes(video.flip(1))["changes size"]
    late = render([replace(scene, objects=())])[0]
    late[:, 9:] = true[:, 9:]
    assert changes(late)["appears"]


def test_collisions_keep_momentum_and_order():
    scenes = pairs(6, collide=True)
    assert all(s.collides for s in scenes)
    figures = collision_figures(render(scenes), prompts_of(scenes))
    assert all(
        figures[name]["value"] == 1
        for name in ("law", "the hit one moves", "touch, then move", "momentum kept")
    )
    assert figures["momentum ratio"]["mean"] == pytest.approx(1, abs=0.05)
    through = [
        replace(s, objects=(s.objects[0], replace(s.objects[1], x=-9.0, y=-9.0))) for s in scenes
    ]  # nothing there to hit
    assert collision_figures(render(through), prompts_of(scenes))["the hit one moves"] is None
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
        assert parse(sentence(scene)) == spec_of(scene)
        for attribute in ("color", "shape", "motion", "background"):
            changed = change_word(scene, attribute)
            assert not is_held_out(changed.objects[0].shape, changed.objects[0].color)
            before, after = spec_of(scene), spec_of(changed)
            differ = [
                k
                for k in vars(before.objects[0])
                if getattr(before.objects[0], k) != getattr(after.objects[0], k)
            ]
            assert differ + ["background"] * (before.background != after.background) == [attribute]


def test_edit_figures_tell_what_else_changed():
    scenes = [sample_scene(i, motion="still") for i in range(4)]
    changed = [change_word(s, "color") for s in scenes]
    before, after = render(scenes), render(changed)
    figures = edit_figures(before, after, changed, "color")
    assert figures["obeyed"]["value"] == figures["stayed"]["value"] == 1
    assert figures["place"]["mean"] < 0.02 and figures["outside"]["mean"] < 1e-3
    assert edit_figures(before, before, changed, "color")["obeyed"]["value"] == 0
    others = [
        sample_scene(i + 50, motion="still", background=s.background) for i, s in enumerate(scenes)
    ]
    figures = edit_figures(before, render(others), scenes)
    assert (
        figures["obeyed"] is None
        and figures["stayed"]["value"] < 1
        and figures["place"]["mean"] > 0.1
    )


def test_length_figures_follow_the_frames():
    scenes = [sample_scene(i, motion="still") for i in range(3)]
    videos = render(scenes, num_frames=21)
    videos[:, :, 15:] = render([replace(s, objects=()) for s in scenes], num_frames=21)[:, :, 15:]
    figures = length_figures(videos, [sentence(s) for s in scenes])
    assert figures["by_frame"] == [1.0] * 15 + [0.0] * 6 and figures["kept"]["value"] == 0


def test_what_is_given_is_kept(model):
    scenes = pairs(2)
    assert all(s.relation in OPPOSITE for s in scenes)
    videos, prompts = render(scenes), prompts_of(scenes)
    made = remake(model, videos, prompts, [0.0, 0.0, 1.0, 1.0, 1.0], num_inference_steps=2)
    back = model.decode(model.encode(videos))
    assert made.shape == videos.shape and torch.allclose(made[:, :, :5], back[:, :, :5], atol=0.05)
    assert (made[:, :, 5:] - back[:, :, 5:]).abs().max() > 0.1
    assert slide(model, prompts, 33, num_inference_steps=1).shape[2] == 33
    assert torch.equal(
        make(model, prompts, 3, num_inference_steps=1),
        make(model, prompts, 3, num_inference_steps=1),
    )


def test_the_command_writes_nested_json(model, tmp_path, monkeypatch, capsys):
    model.save(tmp_path / "model")
    out = tmp_path / "limits.json"
    words = [
        "limits",
        "--clips",
        1,
        "--json",
        out,
        "--model",
        tmp_path / "model",
        "--num-inference-steps",
        1,
        "--device",
        "cpu",
    ]
    monkeypatch.setattr(sys, "argv", ["minisora", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
        raise SystemExit(0)
    assert not stop.value.code
    table = json.loads(out.read_text())
    assert set(table) == {
        "physics",
        "space_time",
        "interaction",
        "length",
        "plausibility",
        "mitigation",
        "settings",
    }
    assert table["physics"]["thrown"]["truth"]["kept"]["n"] == 1 and table["settings"]["clips"] == 1
    assert (
        len(table["length"]["49"]["made"]["by_frame"])
        == len(table["length"]["window"]["made"]["by_frame"])
        == 49
    )
    assert set(table["plausibility"]["preference"]["vanish"]) == {"error", "floor"}
    assert table["mitigation"]["best_of"]["4"]["n"] == 1
    assert "physics · thrown · made · law" in capsys.readouterr().out
