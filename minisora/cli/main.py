"""minisora: commands that make clips, play, train, evaluate | limits | benchmark, and lab."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import NoReturn

import typer

from minisora.cli.clips import COMMANDS
from minisora.cli.measure import benchmark, evaluate, limits
from minisora.cli.play import play
from minisora.cli.train import train

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A whole Sora, small: text to video on two CPU cores.",
)


def lab() -> None:
    """Open JupyterLab at the first notebook."""
    first = Path(__file__).resolve().parents[2] / "notebooks" / "00_a_video_from_a_sentence.ipynb"
    if not first.is_file():
        raise ValueError(
            "the notebooks lie in the repository: clone it, and install it there with "
            "pip install -e '.[lab]'"
        )
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        raise ValueError("JupyterLab is not installed: pip install -e '.[lab]'") from None
    raise SystemExit(subprocess.call([sys.executable, "-m", "jupyterlab", str(first)]))


for command in (*COMMANDS, play, train, evaluate, limits, benchmark, lab):
    app.command(command.__name__.replace("_", "-"))(command)


def main() -> NoReturn:
    """Run the command line; a user's mistake ends in one line and exit code 2, Ctrl-C in 130."""
    warnings.formatwarning = _one_line
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="minisora", standalone_mode=False)
        raise SystemExit(code or 0)
    except (KeyboardInterrupt, typer.Abort):
        raise SystemExit(130) from None
    except (ValueError, OSError) as error:
        _fail(str(error))
    except MemoryError:
        _fail("there is not enough memory for this; make it smaller")
    except Exception as error:
        # a wrong option: the class is click's in older versions of typer, and typer's own in newer
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        _fail(message())


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    return f"warning: {' '.join(str(message).split())}\n"


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
