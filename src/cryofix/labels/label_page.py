"""The label page of one tab: every click comes here and is on the disk before it is drawn."""

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.events import ConnectionLost, DoubleTap, Event, PointEvent, PressUp, Tap
from bokeh.layouts import column, row
from bokeh.models import CustomJS
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Button, Div, Slider

from cryofix.errors import CryofixError
from cryofix.files import explain_os_error
from cryofix.labels.label_files import Labels, Point, nearest
from cryofix.labels.label_pictures import Picture, Pictures
from cryofix.labels.label_view import View

TAKEN = 0.5  # a pick closer than this to a label is the same particle, in diameters
SMOOTHING = 0.04  # standard deviation of the low pass to begin with, in diameters
LOST = """said.text = '<b style="color:#c00">The connection to cryofix is lost, so clicks are not' +
  ' saved. Start it again and open its new address.</b>'"""

HOW = (
    "<b>Click on the centre of each particle</b>, or on its circle to remove it. Set the diameter"
    " so that the circle encloses one."
)


class Page:
    """What one tab shows; the labels and pictures are shared by all tabs."""

    def __init__(
        self, document: Document, labels: Labels, pictures: Pictures, threshold: float | None
    ) -> None:
        self.labels, self.pictures = labels, pictures
        self.name = labels.shown
        self.removed: dict[str, set[Point]] = {}  # picks that a person took for none
        self.picture: Picture | None = None
        self.unreadable = ""  # why there is none
        self.said = Div(text="", name="said")
        self.size = Slider(
            start=max(1, round(labels.diameter / 5)),
            end=max(2, round(labels.diameter * 4)),
            step=1 if labels.diameter >= 20 else 0.1,
            value=labels.diameter,
            title=f"Diameter ({labels.unit})",
        )
        self.view = View(self.size)
        self.smoothing = Slider(
            start=0, end=0.2, step=0.01, value=SMOOTHING, title="Low pass (diameters)"
        )
        start = 0.5 if threshold is None else threshold
        self.threshold = Slider(
            start=min(0.05, start), end=1, step=0.01, value=start, title="Score of picks"
        )
        self.accept = self._button("Accept picks", self._accept_all)
        with_picks = [] if threshold is None else [self.threshold, self.accept]
        bar: list[UIElement] = [
            self._button("Previous", partial(self._step, -1)),
            self._button("Next", partial(self._step, 1)),
            self._button("Skip", partial(self._mark, labels.skip)),
            self._button("This one is empty", partial(self._mark, labels.mark_empty)),
            self._button("Undo", self._undo),
            self._button("Whole micrograph", self._show_whole),
        ]
        sliders = [self.size, self.smoothing, *with_picks]
        for slider in sliders:
            slider.width = 190
        wrapped = {"flex-wrap": "wrap", "align-items": "center"}

        lost = CustomJS(args={"said": self.said}, code=LOST)
        for kind in (Tap, PressUp, DoubleTap):
            self.view.figure.on_event(kind, self._click)
        self.view.moved.on_change("data", self._move)
        self.size.on_change("value_throttled", self._resize)
        self.smoothing.on_change("value_throttled", self._redraw)
        self.threshold.on_change("value", self._other_picks)
        document.js_on_event(ConnectionLost, lost)
        document.title = "cryofix label"
        document.add_root(
            column(
                row(*bar, styles=wrapped),
                row(*sliders, styles=wrapped),
                self.said,
                self.view.figure,
                sizing_mode="stretch_width",
            )
        )
        self._go(self.name)

    def _button(self, label: str, action: Callable[[], object]) -> Button:
        button = Button(label=label, name=label)
        button.on_click(lambda: self._do(action))
        return button

    def _do(self, action: Callable[[], object]) -> None:
        """Do what was asked for, then draw what is on the disk, and say if it could not be done."""
        refused = ""
        try:
            action()
        except (CryofixError, OSError) as error:
            reason = explain_os_error(error) if isinstance(error, OSError) else str(error)
            refused = f"Not saved: {reason}"
        self._mark_particles(refused)

    def _click(self, event: Event) -> None:
        """Remove the particle under the mouse, accept the pick under it, or add a particle."""
        if not isinstance(event, PointEvent) or event.x is None or event.y is None:
            return
        if self.picture is None:  # nobody labels what cannot be seen
            return
        x, y = float(event.x), float(event.y)
        index = self.labels.nearest(self.name, x, y)
        if index is None:
            picks = self._shown_picks()
            reach = self.labels.diameter_px(self.name) / 2
            pick = nearest(picks, (x, y), reach)
            at = (x, y) if pick is None else picks[pick]
            self._do(lambda: self.labels.add(self.name, at))
        elif not isinstance(event, DoubleTap):  # which would take back what its first half did
            self._do(lambda: self._remove(index))

    def _remove(self, index: int) -> None:
        point = self.labels.points(self.name)[index]
        self.labels.remove(self.name, index)
        self.removed.setdefault(self.name, set()).add(point)

    def _move(self, _attr: str, _old: Any, new: Any) -> None:
        """Move the particle that a drag began on."""
        (x0, x1), (y0, y1) = np.asarray(new["x"], float), np.asarray(new["y"], float)
        index = nearest(self.labels.points(self.name), (x0, y0), 1e-3)
        if index is not None and np.isfinite([x1, y1]).all():
            self._do(lambda: self.labels.move(self.name, index, (float(x1), float(y1))))

    def _resize(self, _attr: str, _old: Any, new: Any) -> None:
        self._do(lambda: self.labels.set_diameter(float(new)))

    def _redraw(self, _attr: str, _old: Any, _new: Any) -> None:
        self._draw()

    def _other_picks(self, _attr: str, _old: Any, _new: Any) -> None:
        self._mark_particles()

    def _step(self, by: int) -> None:
        names = self.labels.names
        index = names.index(self.name) + by
        if 0 <= index < len(names):
            self._go(names[index])

    def _mark(self, what: Callable[[str], None]) -> None:
        what(self.name)
        self._step(1)

    def _undo(self) -> None:
        name = self.labels.undo()
        if name is not None and name != self.name:
            self._go(name)

    def _accept_all(self) -> None:
        self.labels.add(self.name, *self._shown_picks())

    def _go(self, name: str) -> None:
        """Show a micrograph, and prepare the next one."""
        self.name = self.labels.shown = name
        self._show_whole()
        self._draw()
        names = self.labels.names
        following = names[names.index(name) + 1 :]
        if following:
            self.pictures.prepare(following[0])

    def _show_whole(self) -> None:
        self.view.show_whole(self.labels.micrographs[self.name].shape)

    def _draw(self) -> None:
        self.picture, self.unreadable = None, ""
        try:
            self.picture = self.pictures.get(self.name)
        except CryofixError as error:
            self.unreadable = str(error)
        diameter = self.labels.diameter_px(self.name)
        self.view.draw(self.picture, float(self.smoothing.value) * diameter)
        self._mark_particles()

    def _shown_picks(self) -> tuple[Point, ...]:
        """Return the picks above the threshold that are no labels and were not removed."""
        picks = self.picture.picks if self.picture else None
        if picks is None or picks.score is None:
            return ()
        reach = TAKEN * self.labels.diameter_px(self.name)
        known = (*self.labels.points(self.name), *self.removed.get(self.name, ()))
        above = picks.select(picks.score >= self.threshold.value)
        points = zip(above.x.tolist(), above.y.tolist(), strict=True)
        return tuple(point for point in points if nearest(known, point, reach) is None)

    def _mark_particles(self, refused: str = "") -> None:
        """Draw what is saved, and say how much it is."""
        labels, name = self.labels, self.name
        points, picks = labels.points(name), self._shown_picks()
        diameter_px = labels.diameter_px(name)
        self.view.mark(points, picks, diameter_px, labels.diameter / diameter_px)
        self.accept.label = f"Accept {len(picks)} picks"
        self.accept.disabled = not picks
        entry = labels.entries[name]
        here = f"<b>{len(points)} particles here</b>"
        if entry.points == ():
            here = "<b>marked as empty</b>"
        elif entry.skipped:
            here = "<b>skipped</b>"
        total, micrographs = labels.counts()
        place = f"{labels.names.index(name) + 1} of {len(labels.names)}"
        trouble = refused or self.unreadable
        wrong = f" · <b style='color:#c00'>{escape(trouble)}</b>" if trouble else ""
        self.said.text = (  # always with what to do, or the picture would move at the first click
            f"{HOW}<br>{escape(name)} ({place}) · {here} · {total} in {micrographs} labelled"
            f" micrographs · saved in {escape(str(labels.folder))}{wrong}"
        )
