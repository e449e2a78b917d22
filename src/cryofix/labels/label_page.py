"""The label page of one tab: Bokeh draws it, and every click comes here before it is drawn.

Bokeh's own PointDrawTool selects a point on a click, removes it by a key, and takes the drag that
pans. Here a click removes, and only a drag that begins on a particle moves it.
"""

from functools import partial
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.events import ConnectionLost, DoubleTap, Event, PointEvent, PressUp, Tap
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, PanTool, Range1d, WheelZoomTool
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Button, Div, Slider
from bokeh.plotting import figure

from cryofix.errors import CryofixError
from cryofix.files import explain_os_error
from cryofix.labels.label_files import Labels, Point, nearest
from cryofix.labels.label_pictures import Pictures

LABEL, PICK, POINTER = "#39d353", "#ffb000", "#58a6ff"
GREYS: list[Any] = [f"#{level:02x}{level:02x}{level:02x}" for level in range(256)]
TAKEN = 0.5  # a pick closer than this to a label is the same particle, in diameters
SMOOTHING = 0.04  # standard deviation of the low pass to begin with, in diameters
ABOVE_PX = 135  # of the window: what stands above the micrograph
LOST = """said.text = '<b style="color:#c00">The connection to cryofix is lost, so clicks are not' +
  ' saved. Start it again and open its new address.</b>'"""
DRAGS = ("mousemove", "mouseleave", "panstart", "pan", "panend")


class Page:
    """What one tab shows; the labels and pictures are shared by all tabs."""

    def __init__(
        self, document: Document, labels: Labels, pictures: Pictures, threshold: float | None
    ) -> None:
        self.labels, self.pictures = labels, pictures
        self.name = labels.shown
        self.removed: dict[str, set[Point]] = {}  # picks that a person took for none
        self.grey = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.rings, self.picks, self.moved, pointer = (
            ColumnDataSource({"x": [], "y": []}) for _ in range(4)
        )
        pan, zoom = PanTool(), WheelZoomTool()
        self.view = figure(
            name="micrograph",
            tools=[pan, zoom],
            active_drag=pan,
            active_scroll=zoom,
            toolbar_location=None,
            x_range=Range1d(start=0, end=1),
            y_range=Range1d(start=1, end=0),
            min_border=0,
            width=None,
            height=None,
            outline_line_color=None,
        )
        self.view.axis.visible = self.view.grid.visible = False
        self.view.image("image", "x", "y", "dw", "dh", source=self.grey, palette=GREYS)
        self.circles = [
            self.view.circle(
                "x", "y", radius=1.0, source=source, fill_alpha=0, line_color=colour, name=name
            ).glyph
            for source, colour, name in (
                (self.picks, PICK, "picks"),
                (self.rings, LABEL, "rings"),
                (pointer, POINTER, "pointer"),
            )
        ]
        for circle, dash in zip(self.circles, ("dashed", "solid", "dotted"), strict=True):
            circle.update(line_width=2, line_dash=dash)
        self.view.scatter("x", "y", size=4, source=self.rings, color=LABEL)

        self.said = Div(text="", name="said")
        low, high = 0.2 * labels.diameter, 4 * labels.diameter
        step = 1 if labels.diameter >= 20 else 0.1
        title = f"Diameter ({labels.unit})"
        self.size = Slider(
            start=round(low), end=round(high), step=step, value=labels.diameter, title=title
        )
        self.smoothing = Slider(
            start=0, end=0.2, step=0.01, value=SMOOTHING, title="Low pass (diameters)"
        )
        self.threshold = Slider(
            start=0.05, end=1, step=0.01, value=threshold or 0.5, title="Score of picks"
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

        args = {"labels": self.rings, "moved": self.moved, "pointer": pointer}
        script = (files("cryofix.labels") / "label_page.js").read_text(encoding="utf-8")
        drag = CustomJS(args=args | {"pan": pan, "size": self.size}, code=script)
        for event in DRAGS:
            self.view.js_on_event(event, drag)
        grow = "for (const c of circles) c.radius = {value: size.value / size.tags[0] / 2}"
        self.size.js_on_change(
            "value", CustomJS(args={"circles": self.circles, "size": self.size}, code=grow)
        )
        lost = CustomJS(args={"said": self.said}, code=LOST)
        for kind in (Tap, PressUp, DoubleTap):
            self.view.on_event(kind, self._click)
        self.moved.on_change("data", self._move)
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
                self.view,
                sizing_mode="stretch_width",
            )
        )
        self._go(self.name)

    def _button(self, label: str, action: Any) -> Button:
        button = Button(label=label, name=label)
        button.on_click(lambda: self._do(action))
        return button

    def _do(self, action: Any) -> None:
        """Do what was asked for, and say so when it cannot be done; then draw what is on disk."""
        try:
            action()
        except (CryofixError, OSError) as error:
            reason = explain_os_error(error) if isinstance(error, OSError) else str(error)
            self._draw_rings()
            self.said.text = f"<b style='color:#c00'>Not saved: {escape(reason)}</b>"

    def _click(self, event: Event) -> None:
        """Remove the particle under the mouse, accept the pick under it, or add a particle."""
        if not isinstance(event, PointEvent) or event.x is None or event.y is None:
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
        self._draw_rings()

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
        self._draw_rings()

    def _resize(self, _attr: str, _old: Any, new: Any) -> None:
        self._do(lambda: self.labels.set_diameter(float(new)))
        self._draw_rings()

    def _redraw(self, _attr: str, _old: Any, _new: Any) -> None:
        self._draw()

    def _other_picks(self, _attr: str, _old: Any, _new: Any) -> None:
        self._draw_rings()

    def _step(self, by: int) -> None:
        names = self.labels.names
        index = names.index(self.name) + by
        if 0 <= index < len(names):
            self._go(names[index])

    def _mark(self, what: Any) -> None:
        what(self.name)
        if self.name == self.labels.names[-1]:
            self._draw_rings()
        self._step(1)

    def _undo(self) -> None:
        name = self.labels.undo()
        if name is not None and name != self.name:
            self._go(name)
        self._draw_rings()

    def _accept_all(self) -> None:
        self.labels.add(self.name, *self._shown_picks())
        self._draw_rings()

    def _go(self, name: str) -> None:
        """Show a micrograph, and prepare the next one."""
        self.name = self.labels.shown = name
        rows, columns = self.labels.micrographs[name].shape
        # As large as the window allows, of the micrograph's shape.
        width = f"min(100%, calc((100vh - {ABOVE_PX}px) * {columns / rows:.5f}))"
        self.view.styles = {"width": width, "height": "auto", "aspect-ratio": f"{columns}/{rows}"}
        self._show_whole()
        self._draw()
        names = self.labels.names
        following = names[names.index(name) + 1 :]
        if following:
            self.pictures.prepare(following[0])

    def _show_whole(self) -> None:
        rows, columns = self.labels.micrographs[self.name].shape
        self.view.x_range.update(start=0, end=columns)
        self.view.y_range.update(start=rows, end=0)

    def _draw(self) -> None:
        diameter = self.labels.diameter_px(self.name)
        try:
            picture = self.pictures.get(self.name)
        except CryofixError as error:
            self.grey.data = {str(key): [] for key in self.grey.data}
            self._draw_rings(str(error))
            return
        pixels = picture.grey(float(self.smoothing.value) * diameter)
        # The centre of the first pixel is that of the file's first pixel, whatever the scale.
        place = {
            "x": [-picture.step[0] / 2],
            "y": [-picture.step[1] / 2],
            "dw": [pixels.shape[1] * picture.step[0]],
            "dh": [pixels.shape[0] * picture.step[1]],
        }
        self.grey.data = {"image": [pixels], **place}
        self._draw_rings()

    def _shown_picks(self) -> tuple[Point, ...]:
        """Return the picks above the threshold that are no labels and were not removed."""
        try:
            picks = self.pictures.get(self.name).picks
        except CryofixError:
            return ()
        if picks.score is None:
            return ()
        reach = TAKEN * self.labels.diameter_px(self.name)
        known = (*self.labels.points(self.name), *self.removed.get(self.name, ()))
        above = picks.select(picks.score >= self.threshold.value)
        points = zip(above.x.tolist(), above.y.tolist(), strict=True)
        return tuple(point for point in points if nearest(known, point, reach) is None)

    def _draw_rings(self, trouble: str = "") -> None:
        """Draw what is saved, and say how much it is."""
        labels, name = self.labels, self.name
        points, picks = labels.points(name), self._shown_picks()
        for source, its in ((self.rings, points), (self.picks, picks)):
            source.data = {"x": [x for x, _ in its], "y": [y for _, y in its]}
        size = labels.micrographs[name].pixel_size_angstrom if labels.in_angstrom else None
        self.size.tags = [size or 1.0]
        for circle in self.circles:
            circle.radius = labels.diameter_px(name) / 2
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
        wrong = f" · <b style='color:#c00'>{escape(trouble)}</b>" if trouble else ""
        self.said.text = (
            f"{escape(name)} ({place}) · {here} · {total} in {micrographs} labelled micrographs"
            f" · saved in {escape(str(labels.folder))}{wrong}"
        )
