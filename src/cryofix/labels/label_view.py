"""What the label page draws: a micrograph, circles on it, and the drags that move either.

Bokeh's own PointDrawTool selects a point on a click, removes it by a key, and takes the drag that
pans. Here a click removes, and only a drag that begins on a particle moves it.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from bokeh.models import ColumnDataSource, CustomJS, PanTool, Range1d, WheelZoomTool
from bokeh.models.widgets import Slider
from bokeh.plotting import figure

from cryofix.labels.label_files import Point
from cryofix.labels.label_pictures import Picture

PICK, LABEL, POINTER = "#ffb000", "#39d353", "#58a6ff"
GREYS: list[Any] = [f"#{level:02x}{level:02x}{level:02x}" for level in range(256)]
ABOVE_PX = 135  # of the window: what stands above the micrograph
DRAGS = ("mousemove", "mouseleave", "panstart", "pan", "panend")
GROW = "for (const c of circles) c.radius = {value: size.value / size.tags[0] / 2}"


class View:
    """A micrograph and the circles on it; ``size`` is the slider of their diameter."""

    def __init__(self, size: Slider) -> None:
        self.size = size
        self.grey = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.picks, self.rings, pointer, self.moved = (
            ColumnDataSource({"x": [], "y": []}) for _ in range(4)
        )
        pan, zoom = PanTool(), WheelZoomTool()
        self.figure = figure(
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
        self.figure.axis.visible = self.figure.grid.visible = False
        self.figure.image("image", "x", "y", "dw", "dh", source=self.grey, palette=GREYS)
        self.circles = []
        for source, colour, dash, name in (
            (self.picks, PICK, "dashed", "picks"),
            (self.rings, LABEL, "solid", "rings"),
            (pointer, POINTER, "dotted", "pointer"),
        ):
            drawn = self.figure.circle("x", "y", radius=1.0, source=source, name=name)
            look = {"line_color": colour, "line_dash": dash, "line_width": 2, "fill_alpha": 0}
            drawn.glyph.update(**look)
            self.circles.append(drawn.glyph)
        self.figure.scatter("x", "y", size=4, source=self.rings, color=LABEL)

        sources = {"labels": self.rings, "moved": self.moved, "pointer": pointer}
        script = (files("cryofix.labels") / "label_view.js").read_text(encoding="utf-8")
        drag = CustomJS(args=sources | {"pan": pan, "size": size}, code=script)
        for event in DRAGS:
            self.figure.js_on_event(event, drag)
        grow = CustomJS(args={"circles": self.circles, "size": size}, code=GROW)
        size.js_on_change("value", grow)

    def show_whole(self, shape: tuple[int, int]) -> None:
        """Draw all of a micrograph of (rows, columns), as large as the window allows."""
        rows, columns = shape
        width = f"min(100%, calc((100vh - {ABOVE_PX}px) * {columns / rows:.5f}))"
        self.figure.styles = {"width": width, "height": "auto", "aspect-ratio": f"{columns}/{rows}"}
        self.figure.x_range.update(start=0, end=columns)
        self.figure.y_range.update(start=rows, end=0)

    def draw(self, picture: Picture | None, smoothing_px: float) -> None:
        """Draw a picture, or nothing where there is none."""
        if picture is None:
            self.grey.data = {str(key): [] for key in self.grey.data}
            return
        pixels, step = picture.grey(smoothing_px), picture.step
        # The centre of the first pixel is that of the file's first pixel, whatever the scale.
        place = {"x": -step[0] / 2, "y": -step[1] / 2}
        size = {"dw": pixels.shape[1] * step[0], "dh": pixels.shape[0] * step[1]}
        rest: dict[str, list[Any]] = {key: [value] for key, value in (place | size).items()}
        self.grey.data = {"image": [pixels], **rest}

    def mark(
        self, points: Sequence[Point], picks: Sequence[Point], diameter_px: float, unit: float
    ) -> None:
        """Draw circles of labels and of picks; a pixel is ``unit`` of the slider's."""
        self.size.tags = [unit]
        for source, its in ((self.rings, points), (self.picks, picks)):
            source.data = {"x": [x for x, _ in its], "y": [y for _, y in its]}
        for circle in self.circles:
            circle.radius = diameter_px / 2
