"""A notebook runs without sliders where ipywidgets is not installed."""

from reformer.illustrate import sliders


def test_it_says_what_sliders_need(monkeypatch, capsys):
    monkeypatch.setattr(sliders, "find_spec", lambda name: None)
    sliders.interact(lambda angle: 1 / 0, angle=(1, 179))
    assert capsys.readouterr().out == "The sliders need ipywidgets: pip install -e '.[notebooks]'\n"
