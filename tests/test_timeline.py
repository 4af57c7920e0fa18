"""The timeline editor without a browser: windows, masks, runs, undo."""

import pytest
import torch

from minisora.widgets.timeline import (
    PLANS,
    Plan,
    TimelineEditor,
    preview,
    run,
    sigma_of,
    window,
    words_of,
)

ALL = tuple(range(5))


@pytest.fixture
def clip(batch):
    return batch.videos[0]


def test_a_window_slides_over_the_ends(clip):
    video, known = window(clip, 0)
    assert torch.equal(video, clip) and known.all()
    video, known = window(clip, 2)
    assert (
        known.tolist() == [True] * 9 + [False] * 8
        and torch.equal(video[:, :9], clip[:, 8:])
        and torch.equal(video[:, 9], clip[:, 16])
    )
    video, known = window(clip, -2)
    assert known.tolist() == [False] * 8 + [True] * 9 and torch.equal(video[:, 8:], clip[:, :9])
    longer = torch.cat([clip, clip], dim=1)
    assert torch.equal(window(longer, 1)[0][:, :13], longer[:, 21:]), (
        "from the end of a longer clip"
    )
    assert window(clip[:, :9], 1)[1].tolist() == [True] * 5 + [False] * 12, (
        "a short clip stands at the window's beginning"
    )
    with pytest.raises(ValueError, match="holds nothing"):
        window(clip[:, :2], 6)


def test_levels_are_the_plan_over_what_is_known():
    known, some = torch.ones(17, dtype=torch.bool), torch.arange(17) >= 8

    def level(plan, known=known):
        return sigma_of(plan, known, (5, 4, 4))

    assert (level(Plan()) == 1).all() and (level(Plan(kept=ALL)) == 0).all()
    assert level(Plan(kept=(0, 4)))[:, 0, 0].tolist() == [0, 1, 1, 1, 0]
    edit = level(Plan(kept=ALL, rows=(1, 3), columns=(2, 4)))
    assert edit.sum() == 5 * 2 * 2 and (edit[:, 1:3, 2:4] == 1).all()
    assert (level(Plan(strength=0.7)) == 0.7).all()
    assert level(Plan(kept=ALL, strength=0.7), some)[:, 0, 0].tolist() == [1, 1, 1, 0, 0], (
        "frame 8 alone does not make a latent frame known"
    )
    assert words_of(edit) == "60 conditioning, 20 generated of 80 tokens" and "σ = 0.7" in words_of(
        level(Plan(strength=0.7))
    )
    with pytest.raises(ValueError, match="0 to 4"):
        level(Plan(kept=(5,)))


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_runs_and_grows_the_clip_where_it_slides(model, clip, name):
    out = run(model, clip, PLANS[name], "a red circle", num_inference_steps=1)
    assert out.shape == (3, 17 + 4 * abs(PLANS[name].slide), 32, 32)
    shown = preview(model, clip, PLANS[name])
    assert 'alt="' in shown.text and "80 tokens" in shown.words
    if name == "go on":
        assert torch.equal(out[:, :4], clip[:, :4])
    if name == "say what came before":
        assert torch.equal(out[:, 17:], clip[:, 13:])


def test_the_editor_runs_and_goes_back(model, clip):
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    editor = TimelineEditor(model, clip, "a red circle")
    before = editor.mask.value
    editor.ready.value = "go on"
    assert editor.plan == PLANS["go on"] and editor.mask.value != before
    editor.button.click()
    assert (
        editor.clip.shape[1] == 21
        and "<img" in editor.output.value
        and "the judge saw" in editor.words.value
    )
    editor.button.click()
    assert editor.clip.shape[1] == 25 and len(editor.history) == 3
    editor.controls["prompt"].value = "a purple circle"
    editor.button.click()
    assert "purple" in editor.words.value and len(editor.history) == 3, "a mistake changes nothing"
    for _ in range(4):
        editor.back.click()
    assert len(editor.history) == 1 and torch.equal(editor.clip, clip)
    for control in (editor.ready, editor.back, *editor.controls.values()):
        assert control.description and (
            getattr(control, "tooltip", None) or getattr(control, "description_tooltip", None)
        )
