"""Notebook 00: its checkers tell right from wrong."""

from tests.conftest import rejected, unwritten


def tokens(t, h, w):
    return ((t - 1) // 4 + 1) * (h // 8) * (w // 8)


def test_check_count_tokens(checks, capsys):
    assert checks.check_count_tokens(tokens)
    for wrong, fault in (
        (lambda t, h, w: (t // 4) * (h // 8) * (w // 8), "first frame|one frame"),
        (lambda t, h, w: tokens(t, h, h), "may differ"),
        (lambda t, h, w: 4 * tokens(t, h, w), "2 × 2"),
        (lambda t, h, w: t * undefined, "NameError"),  # noqa: F821
        (lambda t, h, w: None, "nothing back"),
        (lambda t, h, w: "many", "one number"),
        (unwritten, "still to be written"),
    ):
        rejected(checks.check_count_tokens, wrong, fault, capsys)


def test_check_guide(checks, capsys):
    assert checks.check_guide(lambda prompt, empty, scale: empty + scale * (prompt - empty))
    for wrong, fault in (
        (lambda prompt, empty, scale: prompt, "scale 0"),
        (lambda prompt, empty, scale: prompt + scale * (prompt - empty), "scale 1"),
        (lambda prompt, empty, scale: prompt if scale else empty, "beyond"),
        (lambda prompt, empty, scale: 3.0, "tensor"),
        (unwritten, "still to be written"),
    ):
        rejected(checks.check_guide, wrong, fault, capsys)


def test_check_failure(checks, model, capsys):
    untrained = "an untrained model gets everything wrong"
    assert checks.check_failure(model, "a red circle", 0), untrained
    assert not checks.check_failure(model, "a purple circle", 0)
    assert not checks.check_failure(model, "", 0)
    assert "something purple" in capsys.readouterr().out
