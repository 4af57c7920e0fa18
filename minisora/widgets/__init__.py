"""What a reader drags and presses: a pure `render_…` and its controls a file."""

from minisora.widgets.common import Html, Mode, Panel, drawn, film, pipeline_map, setup
from minisora.widgets.prompt import (
    PromptBuilder,
    PromptResult,
    PromptState,
    render_prompt,
    sentence,
)

__all__ = [
    "Html",
    "Mode",
    "Panel",
    "PromptBuilder",
    "PromptResult",
    "PromptState",
    "drawn",
    "film",
    "pipeline_map",
    "render_prompt",
    "sentence",
    "setup",
]
