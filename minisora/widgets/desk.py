"""The training desk (notebook 07): start, stop and resume a training in a thread.

Start, Stop, Resume ──► train_dit in a thread ── Watch ──► loss by noise level, samples, time left
"""

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
from minisora.widgets.common import answer_box, error_html, flow_box, menu, slider
from minisora.widgets.watch import Watch


class TrainingDesk:
    """Start, Stop and Resume around `train_dit` in a daemon thread, so that the kernel stays free.

    `box` is the widget; `watch` has history and samples; `start()`, `stop()`, `resume()` are the
    buttons; `wait()` waits for the thread.

    Args:
        model: its text encoder and transformer learn, from the weights they have now.
        held_out: a few clips to measure on.
        config: of the training; learning rate and minutes come from the controls.
        refresh: seconds of training between two pictures.
        sample_every: seconds of training between two samples.
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

        self.model = model
        self.data = data
        self.run_dir = Path(run_dir)
        self.config = config
        self.refresh = refresh
        self.both = nn.ModuleDict({"text": model.text, "dit": model.dit})
        self.initial = copy.deepcopy(self.both.state_dict())
        self.watch = Watch(
            model, held_out, prompts, sample_every, show=lambda _: self._show("training")
        )
        self.thread: threading.Thread | None = None
        self.stopping = threading.Event()
        peaks = sorted({2e-4, 2e-3, 2e-2, config.learning_rate})
        rates = [(f"{rate:g}", rate) for rate in peaks]
        later = "from the next Start or Resume on"
        self.rate = menu("learning rate", rates, config.learning_rate, f"Its peak, {later}")
        self.minutes = slider("minutes", float(config.minutes), 0.5, 10.0, 0.5, f"Budget, {later}")
        self.buttons = {}
        for name, about, press in (
            ("Start", "From the first weights; an earlier run is overwritten", self.start),
            ("Stop", "Stop after this step; what was learned is kept", self.stop),
            ("Resume", "Go on from what was kept", self.resume),
        ):
            button = w.Button(description=name, tooltip=about, disabled=name == "Stop")
            button.on_click(lambda _, press=press: press())
            self.buttons[name] = button
        self.words = w.HTML(value="press Start", layout=w.Layout(height="44px", overflow="auto"))
        self.output = answer_box(400)
        controls = flow_box([self.rate, self.minutes, *self.buttons.values()])
        self.box = w.VBox([controls, self.words, self.output])

    def start(self) -> None:
        self._begin(resume=False)

    def stop(self) -> None:
        self.stopping.set()

    def resume(self) -> None:
        if (self.run_dir / "dit.safetensors").is_file():
            self._begin(resume=True)
        else:
            self._error(ValueError("there is nothing to go on from yet: press Start"))

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the thread, at most so many seconds; True where none is at work any more."""
        if self.thread:
            self.thread.join(seconds)
        return self.thread is None or not self.thread.is_alive()

    def _begin(self, resume: bool) -> None:
        if not self.wait(0):
            self._error(ValueError("a training is under way: press Stop first"))
            return
        self.stopping.clear()
        self.now = replace(self.config, learning_rate=self.rate.value, minutes=self.minutes.value)
        # time and fraction of the budget at the first evaluation, from which the time left follows
        self.origin: tuple[float, float] | None = None
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
            if self._progress() < 1:
                self._show("stopped and kept; Resume goes on")
            else:
                self._show("the budget is spent; with more minutes, Resume goes on")
        except Exception as error:  # an error in a thread would vanish otherwise
            self._error(error)
        finally:
            self._enable("Start", "Resume")

    def _progress(self) -> float:
        """The fraction of the budget that is spent."""
        if not self.watch.history:
            return 1.0
        record = self.watch.history[-1]
        return budget_fraction(self.now, record["step"], record["seconds"])

    def _show(self, words: str) -> None:
        """Draw the curves and samples, and say how long it will take."""
        now, progress = time.perf_counter(), self._progress()
        self.origin = self.origin or (now, progress)
        began, progress_then = self.origin
        left = None
        if words == "training" and progress > progress_then:
            left = (1 - progress) / (progress - progress_then) * (now - began)
        shown = self.watch.html(left)
        self.output.value = shown.text
        self.words.value = html.escape(f"{words}: {shown.words}")

    def _error(self, error: Exception) -> None:
        self.words.value = error_html(error)

    def _enable(self, *names: str) -> None:
        for name, button in self.buttons.items():
            button.disabled = name not in names

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box)
