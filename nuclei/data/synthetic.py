"""Deterministic H&E-like tissue with one label per nucleus: data for runs without a download.

An image is made in the order of a real section: glands in stroma, nuclei scattered in them, an
amount of each stain at every pixel, light through the stains (Beer-Lambert), a scanner. Each step
is one function. Lengths are in pixels of 0.25 um; stains are relative amounts.
"""

from collections import namedtuple

import cv2
import numpy as np
from skimage.segmentation import expand_labels, relabel_sequential

MARGIN = 32  # drawn around the image and cut off, so that nuclei cross its border

# Maps of shape (H, W). depth: signed distance to the basal border of the glands, positive inside;
# lumen: 0..1, open space, which is a vessel where depth is negative; angle: direction of fibres and
# borders, in radians.
Architecture = namedtuple("Architecture", "depth lumen angle")
# One entry per nucleus in drawing order; centre is (N, 2) y, x; length and width are semi-axes.
Nuclei = namedtuple("Nuclei", "kind centre length width angle")

EPITHELIAL, LYMPHOCYTE, FIBROBLAST = range(3)  # kinds of nuclei, in the order of the rows below
LENGTH = np.array([(11.0, 16.5), (7.5, 10.0), (14.0, 25.0)])  # semi-axes, from least to greatest
WIDTH = np.array([(9.0, 12.5), (7.0, 8.5), (4.0, 7.0)])
ROUNDNESS = np.array([2.0, 2.0, 1.5])  # superellipse exponent: 2 = ellipse, below 2 = spindle
WAVINESS = np.array([0.05, 0.04, 0.08])  # amplitude of the outline's Fourier terms
HAEMATOXYLIN = np.array([(0.55, 1.0), (0.9, 1.4), (0.6, 1.2)])
VESICULAR = np.array([1.0, 0.3, 0.4])  # 0 = evenly dark; 1 = pale, with clumps, dark rim, nucleoli


def tissue(seed, shape=(1000, 1000), stain=None):
    """Draw H&E-stained tissue at 40x (0.25 um per pixel) and the nuclei in it.

    Parameters
    ----------
    seed : int
        Equal seeds give equal bytes (with equal versions of NumPy and OpenCV).
    shape : (int, int)
        Height and width in pixels, at least 1.
    stain : array_like, shape (3, 3), optional
        Optical density in R, G, B of one unit of haematoxylin, eosin and a residual, one row each.
        By default each seed draws its own, as laboratories differ.

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    labels : ndarray of int32, shape (H, W)
        0 = background, 1..N = one nucleus each; where nuclei overlap, the later one counts.

    References
    ----------
    Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution,
    Analytical and Quantitative Cytology and Histology 23(4), 2001: the stain model.
    """
    height, width = shape
    layout, staining, scanning = np.random.default_rng(seed).spawn(3)
    architecture = grow(layout, (height + 2 * MARGIN, width + 2 * MARGIN))
    nuclei = scatter(layout, architecture)
    labels, radius = outline(layout, nuclei, architecture.depth.shape)
    haematoxylin, eosin = fill(layout, architecture, labels)
    add_red_blood_cells(layout, architecture, eosin)
    add_chromatin(layout, nuclei, labels, radius, haematoxylin, eosin)
    vectors = laboratory(staining)  # always drawn, so that `stain` changes nothing else
    light = transmit(staining, haematoxylin, eosin, vectors if stain is None else stain)
    inside = np.s_[MARGIN : MARGIN + height, MARGIN : MARGIN + width]
    return scan(scanning, light[inside]), relabel_sequential(labels[inside])[0].astype(np.int32)


def blur(image, sigma):
    """Gaussian blur of `sigma` pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


def step(values, softness):
    """A soft threshold at 0, which rises from 0 to 1 over a width of `softness`."""
    return np.clip(values / softness + 0.5, 0, 1)


def noise(rng, shape, scale, octaves=1):
    """Smooth noise of standard deviation about 1, with features about `scale` pixels wide.

    Each further octave adds finer and fainter features.
    """
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        sigma = scale / 2**octave / 3
        pitch = max(1, round(sigma))  # drawn on a coarse grid, then enlarged
        grid = [length // pitch + 6 for length in shape]
        coarse = blur(rng.standard_normal(grid, np.float32), sigma / pitch)
        coarse *= 0.6**octave * 2 * np.sqrt(np.pi) * sigma / pitch  # undoes what the blur took
        fine = cv2.resize(coarse, None, fx=pitch, fy=pitch, interpolation=cv2.INTER_CUBIC)
        total += fine[: shape[0], : shape[1]]
    return total


def grow(rng, shape):
    """Make the architecture: glands are the islands of a smooth field, fibres its level lines."""
    field = noise(rng, shape, rng.uniform(110, 190)) + rng.uniform(-0.4, 0.6)
    field += 0.1 * noise(rng, shape, 40)
    gland = (field > 0).astype(np.uint8)
    gland[0, 0], gland[-1, -1] = 0, 1  # in the margin, so that there is always a border
    depth = cv2.distanceTransform(gland, cv2.DIST_L2, 5)
    depth -= cv2.distanceTransform(1 - gland, cv2.DIST_L2, 5)
    apex = max(rng.uniform(38, 80), np.quantile(depth[::4, ::4], rng.uniform(0.82, 1)))
    lumen = step(depth + 7 * noise(rng, shape, 60, 3) - apex, 5)
    vessel = step(noise(rng, shape, 70) - rng.uniform(1.5, 2.5), 0.15) * step(-depth - 12, 8)
    down, right = np.gradient(blur(field, 12))
    prevailing = rng.normal(0, 0.012, 2).astype(np.float32)  # fewer whirls
    angle = np.arctan2(down + prevailing[0], right + prevailing[1]) + np.float32(np.pi / 2)
    return Architecture(depth, np.maximum(lumen, vessel), angle + 0.2 * noise(rng, shape, 60))


def scatter(rng, architecture):
    """Place nuclei at random and keep those that do not overlap (Poisson disc sampling)."""
    depth, lumen, angle = architecture
    count = depth.size // 100
    centre = np.stack([rng.integers(0, length, count) for length in depth.shape], axis=1)
    here = tuple(centre.T)
    size, crowding, cellularity = rng.uniform([0.95, 0.8, 0.05], [1.3, 1.0, 0.2])
    inflammation = step(noise(rng, depth.shape, 90)[here] - rng.uniform(1.2, 2.6), 1.0)
    kind = np.where(depth[here] > 6, EPITHELIAL, FIBROBLAST)
    kind[rng.random(count) < inflammation + 0.015] = LYMPHOCYTE
    # Epithelial nuclei line the basal border; fibroblasts are rare.
    basal = np.exp(-(((depth[here] - 18) / 14) ** 2))
    density = np.choose(kind, [np.maximum(basal, cellularity), 0.3, 0.035])
    welcome = (rng.random(count) < density) & (lumen[here] < 0.1)
    kind, centre = kind[welcome], centre[welcome]
    length = size * rng.uniform(*LENGTH[kind].T)
    width = size * rng.uniform(*WIDTH[kind].T)
    turned = np.where(kind == EPITHELIAL, np.pi / 2, 0) + rng.normal(0, 0.35, len(kind))
    nuclei = Nuclei(kind, centre, length, width, angle[tuple(centre.T)] + turned)
    reach = crowding * (length + width) / 2
    kept = []
    for index in range(len(kind)):
        squared = ((centre[kept] - centre[index]) ** 2).sum(axis=1)
        if np.all(squared > (reach[kept] + reach[index]) ** 2):
            kept.append(index)
    return Nuclei(*(column[kept] for column in nuclei))


def outline(rng, nuclei, shape):
    """Draw nuclei as wavy ellipses: their labels, and the radius, 0 at the centre, 1 at the rim."""
    labels, radius = np.zeros(shape, np.int32), np.ones(shape, np.float32)
    waves = np.arange(2, 6)
    for label, (kind, centre, length, width, angle) in enumerate(zip(*nuclei, strict=True), 1):
        low = np.maximum(centre - int(1.3 * length) - 1, 0)
        high = np.minimum(centre + int(1.3 * length) + 2, shape)
        window = tuple(map(slice, low, high))
        y, x = np.ogrid[window]
        y, x = y - centre[0], x - centre[1]
        along = (x * np.cos(angle) + y * np.sin(angle)) / length
        across = (y * np.cos(angle) - x * np.sin(angle)) / width
        power = ROUNDNESS[kind]
        across += rng.normal(0, 0.6) * (2 - power) * along**2  # spindles bend
        turn = np.arctan2(across, along)[..., None] * waves + rng.uniform(0, 2 * np.pi, 4)
        rim = 1 + np.cos(turn) @ (WAVINESS[kind] * rng.normal(size=4) * 2 / waves)
        rho = (np.abs(along) ** power + np.abs(across) ** power) ** (1 / power) / rim
        labels[window][rho < 1] = label
        radius[window][rho < 1] = rho[rho < 1]
    return labels, radius


def fibres(rng, angle):
    """Smear noise along `angle` (line integral convolution), twice as far in each pass."""
    texture = noise(rng, angle.shape, 3)
    (y, x), dy, dx = np.indices(angle.shape, np.float32), np.sin(angle), np.cos(angle)
    for reach in (1, 2, 4, 8):
        ahead = cv2.remap(texture, x + reach * dx, y + reach * dy, cv2.INTER_LINEAR)
        behind = cv2.remap(texture, x - reach * dx, y - reach * dy, cv2.INTER_LINEAR)
        texture = (ahead + behind) / 2
    return texture / texture.std()


def fill(rng, architecture, labels):
    """Haematoxylin and eosin of cytoplasm and stroma; lumina, clefts and gaps stay unstained."""
    depth, lumen, angle = architecture
    shape = depth.shape
    basophilia, clarity, looseness, cleft = rng.uniform(0, 1, 4)
    cells = expand_labels(labels, max(shape))  # each pixel belongs to the nearest nucleus
    edges = cv2.morphologyEx(cells.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    membrane = rng.uniform(-0.4, 0.9) * blur(edges.astype(np.float32), 1.2)  # dark or a slit
    tone = rng.normal(1, 0.12, labels.max() + 1).astype(np.float32)[cells]
    grain = noise(rng, shape, rng.uniform(6, 20), 4)
    foam = step(grain - 2.0 + 1.6 * clarity, 1.0)
    cytoplasm = tone * (1 + 0.12 * grain) * (1 - 0.75 * foam) * (1 - membrane)
    strands = fibres(rng, angle)
    stroma = 0.75 + 0.17 * strands + 0.06 * noise(rng, shape, 3) + 0.1 * noise(rng, shape, 60, 3)
    haze = 0.15 + 0.06 * noise(rng, shape, 60) + 0.04 * strands
    gaps = step(noise(rng, shape, 70) - strands - 3.0 + 1.3 * looseness, 1.2)
    clefts = np.exp(-(((depth + 3) / 2.5) ** 2)) * step(noise(rng, shape, 60) - 1 + cleft, 1)
    gland = step(depth, 4)
    solid = (1 - lumen) * (1 - clefts) * (1 - gaps * (1 - gland))
    secretion = (1 - solid) * rng.uniform(0, 0.15) * step(noise(rng, shape, 50, 3), 2)
    blue = gland * cytoplasm * (0.1 + 0.3 * basophilia) + (1 - gland) * haze
    pink = gland * cytoplasm * 0.55 + (1 - gland) * stroma
    return solid * blue + 0.2 * secretion, solid * pink + secretion


def add_red_blood_cells(rng, architecture, eosin):
    """Add bright discs in the vessels: as round and as large as nuclei, but not nuclei."""
    y, x = np.nonzero((architecture.lumen > 0.9) & (architecture.depth < 0))
    discs = np.zeros(eosin.shape, np.float32)
    for index in rng.permutation(len(y))[: len(y) // 300]:
        centre, size = (int(x[index]), int(y[index])), int(rng.integers(8, 11))
        cv2.circle(discs, centre, size, rng.uniform(0.9, 1.3), cv2.FILLED)
        cv2.circle(discs, centre, size, 0.6)
    discs = blur(discs, 0.8)
    eosin += np.minimum(discs, 1) * (2 * discs - eosin)


def add_chromatin(rng, nuclei, labels, radius, haematoxylin, eosin):
    """Stain the nuclei, evenly or with clumps, rim and nucleoli (vesicular); blur some of them."""
    tone = rng.uniform(*HAEMATOXYLIN[nuclei.kind].T)
    vesicular = VESICULAR[nuclei.kind] * rng.uniform(0.3, 1) * rng.uniform(0.5, 1, len(tone))
    columns = np.array([tone, vesicular, rng.beta(0.5, 1.2, len(tone))], np.float32)
    tone, vesicular, defocus = np.pad(columns, ((0, 0), (1, 0)))[:, labels]
    clumps = noise(rng, labels.shape, 5, 2)
    specks = np.float32(rng.random(labels.shape, np.float32) < 0.006)
    nucleoli = np.minimum(14 * blur(specks, 1.5), 1) * (radius < 0.65)
    rim = np.clip((radius - 0.72) / 0.2, 0, 1)
    chromatin = 1 + 0.1 * clumps + vesicular * (0.35 * clumps - 0.5 + 0.9 * rim + nucleoli)
    chromatin = tone * np.maximum(chromatin, 0.25)
    for stain, inner in ((haematoxylin, chromatin), (eosin, 0.6 + 0.1 * clumps)):
        np.copyto(stain, inner, where=labels > 0)
        stain += blur(defocus, 2) * (blur(stain, 2.2) - stain)


def laboratory(rng):
    """Stain vectors of one laboratory: hues vary a little, strengths by about a fifth."""
    hues = np.array([[0.57, 0.73, 0.37], [0.15, 0.85, 0.48], [0.27, 0.57, 0.78]])
    hues = np.maximum(hues + rng.normal(0, 0.03, (3, 3)), 0.02)
    strength = np.array([1.5, 0.8, 0.1]) * np.exp(rng.normal(0, 0.2, 3) + rng.normal(0, 0.1))
    return hues / np.linalg.norm(hues, axis=1, keepdims=True) * strength[:, None]


def transmit(rng, haematoxylin, eosin, stain):
    """Light through the section, 0..1 (Beer-Lambert). Its thickness varies slowly across it."""
    grain = np.abs(noise(rng, eosin.shape, 12, 3))
    amounts = np.stack([haematoxylin, eosin, grain * eosin], axis=-1)
    amounts *= 1 + 0.06 * noise(rng, eosin.shape, 250)[..., None]
    return np.exp(-amounts @ np.asarray(stain, np.float32))


def scan(rng, light):
    """Scan the light: blur of the lens, colour of the lamp, noise of the sensor, and JPEG."""
    lamp = rng.uniform(236, 250) * rng.uniform(0.98, 1.0, 3)
    image = blur(light, rng.uniform(0.5, 0.9)) * lamp.astype(np.float32)
    image += rng.uniform(1.5, 4) * rng.standard_normal(image.shape, np.float32)
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 93))]
    _, file = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    return cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
