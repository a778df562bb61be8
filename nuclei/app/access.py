"""What screen readers and the mouse need, and the libraries that draw the page leave out."""

import anywidget

SCRIPT = """
function name(element, words, role) {
  if (!element || element.hasAttribute("aria-label")) return;
  element.setAttribute("aria-label", words);
  if (role) element.setAttribute("role", role);
}

function nameAll() {
  name(document.getElementById("rendered_cells"), "Page", "main"); // only as served by Voila
  for (const map of document.querySelectorAll(".nuclei-page .leaflet-container"))
    name(map, "Image: arrow keys move it, plus and minus zoom", "region");
  for (const slider of document.querySelectorAll(".nuclei-page .widget-slider")) {
    const words = slider.querySelector("label").textContent;
    const handles = slider.querySelectorAll(".noUi-handle");
    const ends = handles.length > 1 ? [", from", ", to"] : [""];
    handles.forEach((handle, index) => name(handle, words + ends[index]));
    name(slider.querySelector(".widget-readout"), `${words}, as a number`, "textbox");
  }
}

// Leaflet focuses an image that is clicked. If a part of the image is outside the window, that
// scrolls the page under the mouse, and another place is clicked.
function focus(event) {
  event.target.closest(".nuclei-page .leaflet-container")?.focus({ preventScroll: true });
}
  // Screen readers say what changes in an element, not an element that comes with its words.
  document.querySelector(".nuclei-page .status")?.setAttribute("role", "status");
  for (const one of document.querySelectorAll(".nuclei-page .live"))
    one.setAttribute("aria-live", "polite");

function render() {
  const observer = new MutationObserver(nameAll);
  observer.observe(document.body, { childList: true, subtree: true });
  document.addEventListener("mousedown", focus, true);
  nameAll();
  return () => {
    observer.disconnect();
    document.removeEventListener("mousedown", focus, true);
  };
}

export default { render };
"""


class Access(anywidget.AnyWidget):
    """Shows nothing. It names sliders, images and the main part of the page that it is in."""

    _esm = SCRIPT
