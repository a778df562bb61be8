"""What people need of a page, and the libraries that draw it leave out.

Names and roles for screen readers, an image that stays under the mouse, and a word when the page is
no longer connected.
"""

import anywidget

SCRIPT = """
const LOST = "This page has lost its connection, so what you do has no effect. " +
  "Load it again; in a notebook, run its cells again.";

function name(element, words, role) {
  if (!element || element.hasAttribute("aria-label")) return;
  element.setAttribute("aria-label", words);
  if (role) element.setAttribute("role", role);
}

function nameAll() {
  name(document.getElementById("rendered_cells"), "Page", "main"); // only as served by Voila
  for (const map of document.querySelectorAll(".nuclei-page .leaflet-container")) {
    const what = map.closest(".overview") ? "Slide" : "Image";
    name(map, `${what}: arrow keys move it, plus and minus zoom`, "region");
  }
  for (const slider of document.querySelectorAll(".nuclei-page .widget-slider")) {
    const words = slider.querySelector("label").textContent;
    const handles = slider.querySelectorAll(".noUi-handle");
    const ends = handles.length > 1 ? [", from", ", to"] : [""];
    handles.forEach((handle, index) => name(handle, words + ends[index]));
    name(slider.querySelector(".widget-readout"), `${words}, as a number`, "textbox");
  }
  for (const thumbnail of document.querySelectorAll(".nuclei-page img:not([alt])"))
    thumbnail.alt = ""; // the button under it says the name
  // Screen readers say what changes in an element, not an element that comes with its words.
  document.querySelector(".nuclei-page .status")?.setAttribute("role", "status");
  for (const one of document.querySelectorAll(".nuclei-page .live"))
    one.setAttribute("aria-live", "polite");
}

// Leaflet focuses an image that is clicked. If a part of the image is outside the window, that
// scrolls the page under the mouse, and another place is clicked.
function focus(event) {
  event.target.closest(".nuclei-page .leaflet-container")?.focus({ preventScroll: true });
}

// Otherwise a page that nothing answers looks alive. A kernel that died is started again, but the
// notebook is not run in it.
function watch(kernel, el) {
  if (!kernel) return () => {}; // a copy of the notebook in HTML
  let died = false;
  function look(_, status) {
    died ||= /dead|restarting/.test(status);
    el.textContent = died || kernel.connectionStatus !== "connected" ? LOST : "";
  }
  const signals = [kernel.statusChanged, kernel.connectionStatusChanged];
  signals.forEach((signal) => signal.connect(look));
  return () => signals.forEach((signal) => signal.disconnect(look));
}

function render({ model, el }) {
  el.setAttribute("role", "alert");
  const leave = watch(model.widget_manager.kernel, el);
  const observer = new MutationObserver(nameAll);
  observer.observe(document.body, { childList: true, subtree: true });
  document.addEventListener("mousedown", focus, true);
  nameAll();
  return () => {
    leave();
    observer.disconnect();
    document.removeEventListener("mousedown", focus, true);
  };
}

export default { render };
"""


STYLE = """
.nuclei-access:not(:empty) {
  position: fixed; z-index: 2000; inset: auto 0 0 0; padding: 1em;
  background: #8a1c00; color: white; font-weight: bold;
}
"""


class Access(anywidget.AnyWidget):
    """Shows nothing while the page is connected, and names the parts of the page that it is in."""

    _esm = SCRIPT
    _css = STYLE

    def __init__(self):
        super().__init__()
        self.add_class("nuclei-access")
