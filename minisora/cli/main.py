"""minisora generate | animate | extend | … | train | evaluate | limits | benchmark | lab: thin words around the package."""

import subprocess
import sys
from pathlib import Path

import typer

from minisora.cli.clips import COMMANDS
from minisora.cli.measure import benchmark, evaluate, limits
from minisora.cli.train import train

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A whole Sora, small: text to video on two CPU cores.",
)


def lab() -> None:
    """Open JupyterLab at the first notebook."""
    first = Path(__file__).resolve().parents[2] / "notebooks" / "00_a_video_from_a_sentence.ipynb"
    if not first.is_file():
        raise ValueError(
            "the notebooks lie in the repository: clone it and install it with pip install -e '.[lab]'"
        )
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        raise ValueError("JupyterLab is not installed: pip install -e '.[lab]'") from None
    raise SystemExit(subprocess.call([sys.executable, "-m", "jupyterlab", str(first)]))


for command in (*COMMANDS, train, evaluate, limits, benchmark, lab):
    app.command()(command)


def main() -> None:
    """Run the command line; a user's mistake ends in one line and exit code 2, Ctrl-C in 130."""
    try:
        app()
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
