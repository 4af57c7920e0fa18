"""The recipe: it runs, goes on where it stopped, and refuses or makes again what does not fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from minisora.checkpoints import load_tensors
from minisora.config import Preset, TrainConfig
from minisora.pipeline import MiniSora
from minisora.train import recipe
from minisora.train.curve import Curve
from minisora.train.folder import Folder
from minisora.train.loop import TrainState
from minisora.train.recipe import train_model
from minisora.train.run import read_run, take_over
from tests.conftest import SMALL

STEP = TrainConfig(steps=1, batch_size=2, save_every=0.0)
FIGURES = {family: {"all": {"value": 0.5, "low": 0.4, "high": 0.6}} for family in ("solo", "pair")}


def tiny(preset: Preset) -> Preset:
    """A preset that is trained in a second."""
    return replace(
        preset,
        other_sizes=(),
        vae_clips=4,
        cached_clips=4,
        train_vae=replace(STEP, steps=2),
        train_language=STEP,
        train_upsampler=STEP,
        train_dit=replace(STEP, steps=2),
    )


def measure_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of the time: clips that are judged while a model learns."""
    monkeypatch.setattr("minisora.train.data.HELD_BACK", 2)
    monkeypatch.setattr(recipe, "judged_figures", lambda model, count: FIGURES)
    monkeypatch.setattr(
        recipe, "make_clips", lambda model: lambda *args: torch.zeros(1, 3, 1, 8, 8)
    )
    monkeypatch.setattr(recipe, "save_curve", lambda *args: None)


@pytest.fixture
def small(preset, monkeypatch):
    measure_nothing(monkeypatch)
    return tiny(preset)


def train(preset, run_dir, **options):
    return train_model(preset, run_dir, device="cpu", progress=False, **options)


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def step_of(folder, stage):
    return load_tensors(folder / f"{stage}.safetensors")[1]["step"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, which tests copy."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        measure_nothing(monkeypatch)
        train(tiny(SMALL), folder)
    return folder


@pytest.fixture
def run(finished, small, tmp_path):
    """A finished run that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def trained_again(monkeypatch) -> dict[str, int]:
    """Stage → steps that are made from now on."""
    steps: dict[str, int] = {}
    log = TrainState.log

    def counted(self, figures):
        steps[self.stage] = steps.get(self.stage, 0) + 1
        log(self, figures)

    monkeypatch.setattr(TrainState, "log", counted)
    return steps


@pytest.mark.slow
def test_the_whole_recipe_runs_and_draws_its_curve(preset, tmp_path, monkeypatch):
    monkeypatch.setattr("minisora.train.recipe.EVALUATION_PROMPTS", 2)
    sizes = ((1, 32, 32), (17, 24, 40))
    train(replace(tiny(preset), other_sizes=sizes, other_fraction=0.2), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"curve.json", "curve.png", "samples", "model", "upsampler.safetensors"}
    points = json.loads((tmp_path / "curve.json").read_text())["points"]
    assert [point["stage"] for point in points] == ["vae", "dit"]
    assert points[-1]["solo"]["all"]["n"] == 2
    assert MiniSora.load(tmp_path / "model", "cpu").metadata["curve"] == points


def test_a_finished_run_is_neither_overwritten_nor_trained_again(run, small, monkeypatch):
    first = MiniSora.load(run / "model", "cpu")
    points = Curve(run, resume=True).points
    with pytest.raises(FileExistsError, match="--resume"):
        train(small, run)
    steps = trained_again(monkeypatch)
    train(small, run, resume=True)
    assert not steps and same(first, MiniSora.load(run / "model", "cpu"))
    assert Curve(run, resume=True).points == points
    for resume in (False, True):
        with pytest.raises(ValueError, match="the one above"):
            train(small, run / "model", resume=resume)


def test_no_scratch_file_is_left(run):
    assert not [path for path in run.rglob("*") if path.name.endswith(".tmp")]


# --------------------------------------------------------- what does not fit is made again


def test_a_compressor_that_is_trained_on_takes_what_was_trained_on_it_along(
    run, small, monkeypatch, capsys, tmp_path
):
    longer = replace(small, train_vae=replace(small.train_vae, steps=4))
    kept = load_tensors(run / "latents.safetensors")[0]["latents.0"]
    steps = trained_again(monkeypatch)
    model = train(longer, run, resume=True)
    assert steps == {"vae": 2, "text": 1, "dit": 2}, "captions alone teach the upsampler"
    said = capsys.readouterr().out
    assert "dit: trained anew" in said and "another compressor" in said
    assert not torch.equal(load_tensors(run / "latents.safetensors")[0]["latents.0"], kept)
    assert same(model, train(longer, tmp_path / "whole")), "as a run that was asked for it at first"
    stages = [point["stage"] for point in Curve(run, resume=True).points]
    assert stages.count("dit") == 1, "points of the former transformer are gone"


def test_a_text_encoder_that_is_trained_on_takes_the_transformer_along(run, small, monkeypatch):
    steps = trained_again(monkeypatch)
    longer = replace(small, train_language=replace(small.train_language, steps=3))
    train(longer, run, resume=True)
    assert steps == {"text": 2, "dit": 2}


def test_a_transformer_that_is_trained_on_changes_nothing_before_it(run, small, monkeypatch):
    steps = trained_again(monkeypatch)
    train(replace(small, train_dit=replace(small.train_dit, steps=5)), run, resume=True)
    assert steps == {"dit": 3}


# ---------------------------------------------------------------- what does not fit is refused


@pytest.mark.parametrize("stage", ["train_vae", "train_language", "train_upsampler", "train_dit"])
@pytest.mark.parametrize(
    "field, value",
    [
        ("seed", 1),
        ("learning_rate", 1e-4),
        ("batch_size", 3),
        ("warmup_steps", 7),
        ("cooldown_fraction", 0.1),
        ("ema_decay", 0.5),
        ("minutes", 1.0),
        ("steps", 3),
    ],
)
def test_another_training_is_refused(stage, field, value, small, tmp_path):
    config = replace(getattr(small, stage), steps=4)
    small = replace(small, **{stage: config})
    recipe.remember(tmp_path, recipe.Run(small, ["a"]))
    before = (tmp_path / "run.json").read_bytes()
    other = replace(small, **{stage: replace(config, **{field: value})})
    with pytest.raises(ValueError, match=rf"begun with {stage}\.{field} = .* to|not {value}"):
        recipe.remember(tmp_path, recipe.Run(other, ["a"]))
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"height": 24},
        {"cached_clips": 5},
        {"vae_clips": 5},
        {"kl_weight": 0.1},
        {"upsampler": None},
        {"other_sizes": ((1, 32, 32),)},
        {"shift": 1.0},
    ],
)
def test_another_preset_is_refused(change, small, tmp_path):
    recipe.remember(tmp_path, recipe.Run(small, ["a"]))
    (name,) = change
    with pytest.raises(ValueError, match=f"begun with {name}"):
        recipe.remember(tmp_path, recipe.Run(replace(small, **change), ["a"]))


def test_budgets_may_grow(small, tmp_path):
    recipe.remember(tmp_path, recipe.Run(small, ["a"]))
    longer = replace(small, train_dit=replace(small.train_dit, steps=9, save_every=1.0))
    recipe.remember(tmp_path, recipe.Run(longer, ["a"]))
    assert read_run(tmp_path).preset == longer, "tuples are tuples again"


def test_another_model_and_other_clips_are_refused(run, small, model, batch):
    before = {path: path.read_bytes() for path in run.glob("*.*")}
    with pytest.raises(ValueError, match="another --from"):
        train(small, run, start=model, resume=True)
    videos = ((batch.videos[:2] + 1) * 127.5).byte()
    folder = Folder(videos, [["a"], ["b"]], ["a.gif", "b.gif"], {})
    with pytest.raises(ValueError, match="another --data"):
        train(small, run, folder=folder, resume=True)
    assert before == {path: path.read_bytes() for path in run.glob("*.*")}, "nothing was touched"


def test_the_same_folder_with_another_caption_is_another(batch):
    videos = ((batch.videos[:2] + 1) * 127.5).byte()
    one = Folder(videos, [["a"], ["b"]], ["a.gif", "b.gif"], {})
    other = Folder(videos, [["a"], ["c"]], ["a.gif", "b.gif"], {})
    swapped = Folder(videos.flip(0), [["a"], ["b"]], ["a.gif", "b.gif"], {})
    assert len({recipe.fingerprint_of_clips(folder) for folder in (one, other, swapped)}) == 3
    assert recipe.fingerprint_of_clips(one) == recipe.fingerprint_of_clips(replace(one))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"preset": {}}', '{"words": []}', "null"])
def test_a_note_that_cannot_be_read_is_one_sentence(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json cannot be read"):
        read_run(tmp_path)


# ------------------------------------------------------------------------- on from another model


def test_a_training_goes_on_from_another_model(small, model, tmp_path):
    wanted = replace(
        small,
        dit=replace(small.dit, hidden_size=64),
        train_dit=replace(STEP, learning_rate=0.0),
    )
    model.vae.latents_mean.fill_(0.5)
    model.metadata = {"curve": [{"stage": "vae", "minutes": 3.0, "psnr_mean": 20.0}]}
    after = train(wanted, tmp_path, start=model)
    assert after.preset.dit == model.preset.dit, "the sizes are the first model's"
    assert same(after.vae.encoder, model.vae.encoder), "latents keep their meaning"
    assert torch.equal(after.vae.latents_mean, model.vae.latents_mean)
    assert not same(after.vae.decoder, model.vae.decoder)
    assert not (tmp_path / "text.safetensors").exists()
    assert same(after.dit, model.dit) and same(after.text, model.text)
    points = MiniSora.load(tmp_path / "model", "cpu").metadata["curve"]
    assert points[0] == model.metadata["curve"][0] and len(points) > 2
    assert all(point["minutes"] >= 3 for point in points[1:]), "the curve goes on"


def test_a_stage_without_minutes_is_left_out(small, tmp_path, model):
    still = TrainConfig(minutes=0.0, batch_size=2)
    wanted = replace(small, train_vae=still, train_dit=STEP)
    after = train(wanted, tmp_path / "run", start=model)
    assert same(after.vae, model.vae)
    assert step_of(tmp_path / "run", "dit") == 1
    again = train(wanted, tmp_path / "run", start=model, resume=True)
    assert same(after, again)


def test_an_upsampler_goes_on_word_by_word(preset, model):
    """It once began from nothing, and nobody was told, where a single word was new."""
    other = MiniSora(preset, ["a", "zebra", "red"])
    of_zebra = other.tokenizer.ids["zebra"]
    before = {name: x.clone() for name, x in other.upsampler.state_dict().items()}
    take_over(other, model)
    after, start = other.upsampler.state_dict(), model.upsampler.state_dict()
    for name in ("text.embed.weight", "head.weight", "head.bias"):
        red = start[name][model.tokenizer.ids["red"]]
        assert torch.equal(after[name][other.tokenizer.ids["red"]], red)
        assert torch.equal(after[name][of_zebra], before[name][of_zebra])
    inner = "text.blocks.0.mlp.up.weight"
    assert torch.equal(after[inner], start[inner])


def test_an_upsampler_of_another_size_is_left(preset, model):
    take_over(MiniSora(replace(preset, upsampler=None), model.tokenizer.vocabulary), model)
    larger = replace(preset, upsampler=replace(preset.upsampler, depth=2))
    other = MiniSora(larger, model.tokenizer.vocabulary)
    kept = other.upsampler.text.embed.weight.clone()
    take_over(other, model)
    assert torch.equal(other.upsampler.text.embed.weight, kept)


def test_a_model_with_other_words_is_taken_over_word_by_word(preset, model):
    other = MiniSora(preset, ["a", "zebra", "red"])

    def row(of, word):
        return of.text.embed.weight[of.tokenizer.ids[word]]

    fresh = row(other, "zebra").clone()
    take_over(other, model)
    assert torch.equal(row(other, "red"), row(model, "red"))
    assert torch.equal(row(other, "zebra"), fresh)
    assert torch.equal(other.text.embed.weight[:2], model.text.embed.weight[:2])


# ---------------------------------------------------------------------------------------- the curve


def test_minutes_of_a_stopped_run_stay_counted(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("minisora.train.curve.time.perf_counter", lambda: now[0])

    def work(curve, seconds, error=None):
        with curve.stage("latents"):
            now[0] += seconds
            if error:
                raise error

    with pytest.raises(KeyboardInterrupt):
        work(Curve(tmp_path, resume=False), 30.0, KeyboardInterrupt())
    curve = Curve(tmp_path, resume=True)
    work(curve, 60.0)
    curve.add("dit", 30.0)
    assert curve.points[-1]["minutes"] == 2.0


def test_a_killed_runs_points_are_made_once(tmp_path):
    curve = Curve(tmp_path, resume=False)
    for seconds in (60.0, 120.0, 180.0):
        curve.add("dit", seconds)
    curve = Curve(tmp_path, resume=True)
    curve.add("dit", 120.0)  # the checkpoint was older than the last points
    assert [point["minutes"] for point in curve.points] == [1.0, 2.0]


def test_a_stage_that_is_trained_anew_is_forgotten(tmp_path):
    before = [{"stage": "dit", "minutes": 2.0}]
    curve = Curve(tmp_path, resume=False, before=before)
    curve.add("vae", 60.0)
    curve.add("dit", 60.0)
    curve.forget("dit")
    assert [(p["stage"], p["minutes"]) for p in curve.points] == [("dit", 2.0), ("vae", 3.0)]
    curve.add("dit", 30.0)
    assert curve.points[-1] == {"stage": "dit", "minutes": 3.5}


def test_a_run_without_its_latents_encodes_them_again_and_trains_nothing(run, small, monkeypatch):
    first = MiniSora.load(run / "model", "cpu")
    (run / "latents.safetensors").unlink()
    shutil.rmtree(run / "model")
    steps = trained_again(monkeypatch)
    train(small, run, resume=True)
    assert not steps and same(first, MiniSora.load(run / "model", "cpu"))
