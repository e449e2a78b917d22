// A drag that begins on a particle moves it, any other moves the view. cb_obj is Bokeh's event; labels,
// moved and pointer are data sources, size is the slider of the diameter, whose tag is its unit in pixels.
const reach = size.value / size.tags[0] / 2

function hit(x, y) {
  let best = -1, least = reach
  for (let i = 0; i < labels.data.x.length; i++) {
    const distance = Math.hypot(labels.data.x[i] - x, labels.data.y[i] - y)
    if (distance <= least) { least = distance; best = i }
  }
  return best
}

function put(index, x, y) {
  labels.data.x[index] = x
  labels.data.y[index] = y
  labels.change.emit()
}

switch (cb_obj.event_name) {
  case "mousemove":
    if (labels.grip == null) pan.active = hit(cb_obj.x, cb_obj.y) < 0
    pointer.data = {x: [cb_obj.x], y: [cb_obj.y]}
    break
  case "mouseleave":
    pointer.data = {x: [], y: []}
    break
  case "panstart": { // where the button was pressed; the mouse may have left the particle since
    const index = hit(cb_obj.x, cb_obj.y)
    if (index >= 0) {
      pan.active = false
      const [x, y] = [labels.data.x[index], labels.data.y[index]]
      labels.grip = {index, x, y, dx: x - cb_obj.x, dy: y - cb_obj.y}
    }
    break
  }
  case "pan":
    if (labels.grip != null) {
      const {index, dx, dy} = labels.grip
      put(index, cb_obj.x + dx, cb_obj.y + dy)
    }
    break
  case "panend":
    if (labels.grip != null) {
      const {index, x, y, dx, dy} = labels.grip
      labels.grip = null
      put(index, x, y) // until the move has been saved
      moved.data = {x: [x, cb_obj.x + dx], y: [y, cb_obj.y + dy]}
    }
}
