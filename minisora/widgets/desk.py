"""The training desk (notebook 07): start, stop and resume a training in a thread, with its loss by noise level, samples and time left."""

import copy
import html
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch.nn as nn

from minisora.config import TrainConfig
from minisora.pipeline import MiniSora
from minisora.train.data import Latents
from minisora.train.loop import budget_fraction
from minisora.train.stages import train_dit
from minisora.widgets.common import menu, slider
from minisora.widgets.watch import Watch, render_desk

__all__ = ["TrainingDesk", "render_desk"]


class TrainingDesk:
    """Start, Stop and Resume around `train_dit` in a daemon thread, so that the kernel stays free.

    `box` is the widget; `watch` has history and samples; `start()`, `stop()`, `resume()` are the buttons; `wait()` waits for the thread.

    Args:
        model: its text encoder and transformer learn, from the weights they have now. held_out: a few clips to measure on.
        config: of the training; rate and minutes come from the controls. refresh: seconds of training between two pictures.
    """

    def __init__(
        self,
        model: MiniSora,
        data: Latents,
        held_out: Latents,
        run_dir: str | Path,
        prompts: list[str],
        config: TrainConfig,
        refresh: float = 2.0,
        sample_every: float = 15.0,
    ):
        import ipywidgets as w

        self.model, self.data, self.run_dir, self.config, self.refresh = (
            model,
            data,
            Path(run_dir),
            config,
            refresh,
        )
        self.both = nn.ModuleDict({"text": model.text, "dit": model.dit})
        self.initial = copy.deepcopy(self.both.state_dict())
        self.watch = Watch(
            model, held_out, prompts, sample_every, show=lambda _: self._show("training")
        )
        self.thread, self.stopping, self.buttons = None, threading.Event(), {}
        rates = [(f"{rate:g}", rate) for rate in sorted({2e-4, 2e-3, 2e-2, config.learning_rate})]
        self.rate = menu(
            "learning rate",
            rates,
            config.learning_rate,
            "Peak of the schedule, from the next Start or Resume on",
        )
        self.minutes = slider(
            "minutes",
            float(config.minutes),
            0.5,
            10.0,
            0.5,
            "Training time, from the next Start or Resume on",
        )
        for name, about, press in (
            (
                "Start",
                "Begin anew with the first weights; an earlier run of this desk is overwritten",
                self.start,
            ),
            ("Stop", "Stop after this step; what was learned is kept", self.stop),
            ("Resume", "Go on from what was kept", self.resume),
        ):
            self.buttons[name] = w.Button(description=name, tooltip=about, disabled=name == "Stop")
            self.buttons[name].on_click(lambda _, press=press: press())
        self.words = w.HTML(value="press Start", layout=w.Layout(height="44px", overflow="auto"))
        self.output = w.HTML(
            layout=w.Layout(height="400px", overflow="auto", border="1px solid #bbb")
        )
        self.box = w.VBox(
            [
                w.HBox([self.rate, self.minutes]),
                w.HBox(list(self.buttons.values())),
                self.words,
                self.output,
            ]
        )

    def start(self) -> None:
        self._begin(resume=False)

    def stop(self) -> None:
        self.stopping.set()

    def resume(self) -> None:
        if not (self.run_dir / "dit.safetensors").is_file():
            return self._error("there is nothing to go on from yet: press Start")
        self._begin(resume=True)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the thread, at most so many seconds; True where none is at work any more."""
        if self.thread:
            self.thread.join(seconds)
        return self.thread is None or not self.thread.is_alive()

    def _begin(self, resume: bool) -> None:
        if not self.wait(0):
            return self._error("a training is under way: press Stop first")
        self.stopping.clear()
        self.now = replace(self.config, learning_rate=self.rate.value, minutes=self.minutes.value)
        self.origin = None  # time and share of the budget at the first look, from which the time left is reckoned
        self._enable("Stop")
        self.words.value = "starting …"
        self.thread = threading.Thread(target=self._train, args=(resume,), daemon=True)
        self.thread.start()

    def _train(self, resume: bool) -> None:
        try:
            if not resume:
                self.both.load_state_dict(self.initial)
                self.watch.clear()
                self.watch(self.both, {"step": 0, "seconds": 0.0})
            train_dit(
                self.both,
                self.data,
                replace(self.model.preset, train_dit=self.now),
                self.run_dir,
                resume=resume,
                progress=False,
                on_evaluate=self.watch,
                evaluate_every=self.refresh,
                should_stop=self.stopping.is_set,
            )
            if self.watch.history:
                self.watch.draw()
            self._show(
                "stopped and kept; Resume goes on"
                if self._share() < 1
                else "the budget is spent; with more minutes, Resume goes on"
            )
        except Exception as error:  # a thread's error would vanish otherwise
            self._error(f"{type(error).__name__}: {error}")
        finally:
            self._enable("Start", "Resume")

    def _share(self) -> float:
        record = self.watch.history[-1] if self.watch.history else None
        return budget_fraction(self.now, record["step"], record["seconds"]) if record else 1.0

    def _show(self, words: str) -> None:
        now, share = time.perf_counter(), self._share()
        self.origin = self.origin or (now, share)
        gained = share - self.origin[1]
        left = (
            (1 - share) / gained * (now - self.origin[0])
            if words == "training" and gained
            else None
        )
        shown = self.watch.html(left)
        self.output.value, self.words.value = shown.text, html.escape(f"{words}: {shown.words}")

    def _error(self, words: str) -> None:
        self.words.value = f'<b style="color:#D55E00">✗ {html.escape(words)}</b>'

    def _enable(self, *names: str) -> None:
        for name, button in self.buttons.items():
            button.disabled = name not in names

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box)
