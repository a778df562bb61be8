"""Small sound files of every format that is read, and what reads them; `fuzz` damages them."""

import io
import json
import warnings
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import slide_files
import tifffile
from PIL import Image

from nuclei import images
from nuclei.data import monuseg_files, patch_files
from nuclei.data.annotations import aperio
from nuclei.errors import InputError
from nuclei.slides import files, report
from nuclei.slides.pyramid import write_pyramid
from nuclei.slides.slide import Slide

NAME = "TCGA-18-5592-01Z-00-DX1"
SHAPE = 40, 48


def tissue(shape=SHAPE):
    """A smooth picture with a little noise, which no compression makes tiny."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = np.stack([100 + 80 * np.sin(x / 5), 90 + 60 * np.cos(y / 6), 160 + 40 * np.sin(x + y)])
    noise = np.random.default_rng(0).integers(0, 9, (*shape, 3))
    return (np.moveaxis(waves, 0, -1) + noise).astype(np.uint8)


def labels(shape=SHAPE):
    """Four squares with the numbers 1 to 4."""
    found = np.zeros(shape, np.uint16)
    for number, (y, x) in enumerate([(2, 3), (2, 20), (20, 5), (22, 30)], start=1):
        found[y : y + 12, x : x + 10] = number
    return found


def pictures(folder):
    """Images and masks of Pillow's formats."""
    rgb, mask = Image.fromarray(tissue()), Image.fromarray(np.uint8(255) * (labels() > 0))
    exif = Image.Exif()
    exif[274] = 6
    rgb.save(folder / "a.png")
    rgb.save(folder / "exif.png", exif=exif, icc_profile=bytes(200))
    rgb.convert("RGBA").save(folder / "alpha.png")
    rgb.quantize(16).save(folder / "palette.png")
    mask.save(folder / "mask.png")
    mask.convert("1").save(folder / "bits.png")
    Image.fromarray(labels()).save(folder / "labels.png")
    rgb.save(folder / "a.jpg", exif=exif)
    rgb.save(folder / "progressive.jpg", progressive=True, icc_profile=bytes(200))
    mask.save(folder / "mask.jpg")
    rgb.save(folder / "a.webp", exif=exif)
    rgb.save(folder / "lossless.webp", lossless=True)
    rgb.save(folder / "a.jp2")
    rgb.save(folder / "a.j2k", irreversible=True)
    rgb.save(folder / "a.avif")
    for suffix in ("bmp", "gif", "ppm", "tga", "ico", "psd.pcx", "sgi", "dds"):
        rgb.save(folder / f"a.{suffix}")


def tiffs(folder):
    """Images, masks and labels as TIFF of every compression and layout."""
    rgb = tissue()
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        Image.fromarray(rgb).save(folder / f"pillow {compression}.tif", compression=compression)
    options = {
        "plain": {},
        "big": {"bigtiff": True, "compression": "lzw"},
        "big endian": {"byteorder": ">", "compression": "zlib", "predictor": True},
        "tiles": {"tile": (16, 16), "compression": "zlib"},
        "ome": {"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.25}},
    }
    packed = [
        "lzw",
        "zstd",
        "lzma",
        "packbits",
        "webp",
        "png",
        "jpeg2000",
        "jpegxl",
        "jpegxr",
        "lerc",
        "jpeg",
    ]
    options |= {f"of {name}": {"compression": name} for name in packed}
    for name, option in options.items():
        tifffile.imwrite(folder / f"{name}.tif", rgb, photometric="rgb", **option)
    planes = np.moveaxis(rgb, -1, 0)
    option = {"photometric": "rgb", "planarconfig": "separate", "compression": "zstd"}
    tifffile.imwrite(folder / "planes.tif", planes, **option)
    tifffile.imwrite(folder / "pages.ome.tif", planes, metadata={"axes": "CYX"})
    Image.fromarray(labels() > 0).save(folder / "fax.tif", compression="group4")
    Image.fromarray(rgb).quantize(16).save(folder / "palette.tif", compression="tiff_lzw")
    tifffile.imwrite(folder / "labels.tif", labels().astype(np.int32), compression="zlib")
    tifffile.imwrite(folder / "floats.tif", labels().astype(np.float32), compression="zstd")
    with tifffile.TiffWriter(folder / "two.tif") as writer:
        writer.write(rgb[::4, ::4], photometric="rgb")
        writer.write(rgb, photometric="rgb", compression="zlib")


def read_picture(path):
    """Read a file as image, as mask and as labels; an InputError if none of these works."""
    problems = []
    for read in (images.read_rgb, images.read_mask, images.read_labels, images.read_grey):
        try:
            read(path)
        except InputError as error:
            problems.append(error)
    if len(problems) == 4:
        raise problems[0]


def annotations(folder):
    """Aperio and ASAP XML, with every type of region."""
    points = [(3, 2), (12, 2), (12, 13), (3, 13)]
    kinds = ["", 'Type="0"', 'Type="1"', 'Type="2"', 'Type="0" NegativeROA="1"', 'Type="4"']
    regions = ""
    for n, kind in enumerate(kinds):
        corners = points[:2] if "4" in kind else points
        vertices = "".join(f'<Vertex X="{x + 5 * n}.5" Y="{y}" Z="0"/>' for x, y in corners)
        regions += f'<Region Id="{n}" {kind}><Vertices>{vertices}</Vertices></Region>'
    text = f"<Annotation><Regions>{regions}</Regions></Annotation>"
    document = f'<?xml version="1.0" encoding="utf-8"?><Annotations>{text}</Annotations>'
    (folder / "aperio.xml").write_text(document)
    (folder / "utf-16.xml").write_bytes(document.replace("utf-8", "utf-16").encode("utf-16"))
    named = document.replace("<Annotations", '<Annotations xmlns="http://aperio.com"')
    (folder / "namespace.xml").write_text(named)
    lines = "".join(
        f'<Coordinate Order="{n}" X="{x}.5" Y="{y}"/>' for n, (x, y) in enumerate(points)
    )
    areas = [f'<Annotation Type="{kind}" PartOfGroup="a"><Coordinates>{lines}</Coordinates>'
             "</Annotation>" for kind in ("Polygon", "Spline", "Rectangle", "Dot")]  # fmt: skip
    text = f"<Annotations>{''.join(areas)}</Annotations>"
    (folder / "asap.xml").write_text(f"<ASAP_Annotations>{text}</ASAP_Annotations>")


def read_annotation(path):
    aperio.read(path, SHAPE)


def archives(folder):
    """Zip archives as the challenge has them."""
    tiff = io.BytesIO()
    Image.fromarray(tissue()).save(tiff, "TIFF", compression="tiff_lzw")
    annotations(folder)
    xml = (folder / "aperio.xml").read_bytes()
    for path in folder.iterdir():
        path.unlink()
    kinds = {"stored": 0, "deflated": 8, "bzip2": 12, "lzma": 14}
    for name, kind in kinds.items():
        with zipfile.ZipFile(folder / f"{name}.zip", "w", kind) as archive:
            archive.writestr(f"MoNuSegTestData/{NAME}.tif", tiff.getvalue())
            archive.writestr(f"MoNuSegTestData/{NAME}.xml", xml)


def read_archive(path):
    """What the download does with each archive."""
    found = monuseg_files.index(path)
    for (kind, _), member in found.items():
        content = monuseg_files.contents(member)
        read_annotation(content) if kind == "annotation" else read_picture(content)


CONFIG = {"network": "unet", "arguments": {"width": 2, "depth": 2}}


def models(folder):
    """The settings, scores and history of a model."""
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1))
    (folder / "metrics.json").write_text(json.dumps({"data": "MoNuSeg", "test": {"dice": 0.5}}))
    (folder / "history.csv").write_text("epoch,loss,val_dice\n1,0.5,0.7\n2,0.25,8e-1\n")


def read_model(path):
    from nuclei import modelzoo
    from nuclei.training.history import read_history

    if path.name == "config.json":
        modelzoo.build(modelzoo.read_config(path.parent))
    else:
        {"metrics.json": modelzoo.read_metrics, "history.csv": read_history}[path.name](path.parent)


@cache
def network():
    """A small network, built once."""
    from nuclei import modelzoo

    return modelzoo.build(CONFIG)


def weights(folder):
    """Weights as Keras 3 and as keras.applications keep them."""
    network().save_weights(folder / "new.weights.h5")
    with warnings.catch_warnings(action="ignore"):
        from keras.src.legacy.saving import legacy_h5_format
    import h5py

    with h5py.File(folder / "old.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network())


def read_weights(path):
    from nuclei.networks.weights import load_weights

    load_weights(network(), path, "train again.")


def slides(folder):
    """Pyramids of TIFF in tiles and strips, and what OpenSlide takes for slides of makers."""
    image = tissue((300, 400))
    write_pyramid(folder / "zlib.tif", image, tile=(128, 128))
    write_pyramid(folder / "strips.tif", image, levels=2, tile=None)
    for name in ("jpeg", "jpeg2000", "webp", "zstd", "lzw"):
        write_pyramid(folder / f"{name}.tif", image, levels=2, tile=(128, 128), compression=name)
    tifffile.imwrite(folder / "pages.ome.tif", np.moveaxis(image, -1, 0), metadata={"axes": "CYX"})
    slide_files.aperio(folder / "a.svs", image)
    slide_files.leica(folder / "a.scn", image, (40, 30))
    slide_files.leica(folder / "zlib.scn", image, (40, 30), compression="zlib")


def dicoms(folder):
    """Two levels of a DICOM slide."""
    slide_files.dicom_slide(folder, tissue((300, 400)))
    for name in ("a_label.dcm", "d_macro.dcm"):  # which are refused
        (folder / name).unlink()


def read_slide(path):
    """Find a slide and read all of it, also where the file says no resolution."""
    files.find([path.parent])
    files.find([path])
    try:
        slide = Slide(path)
    except InputError:
        slide = Slide(path, 0.25)
    height, width = slide.shape
    slide.overview()
    slide.read(-8, -8, min(height, 300) + 16, min(width, 300) + 16)
    slide.read(height // 2, width // 2, 64, 64)


SETTINGS = {"mpp": 0.25, "content": ["0a1b2c3d", "4e5f6071"]}
"""Of the run that wrote the report below."""


def reports(folder):
    """The report of a slide."""
    content = {"settings": SETTINGS, "tiles": 4, "nuclei": 3, "problems": {"x 0": "a"},
               "seconds": 1.5, "offset": [0, 0], "hashes": {".parquet": "0a"}}  # fmt: skip
    (folder / "slide.json").write_text(json.dumps(content, indent=1))


def read_report(path):
    found = report.read_report(path, SETTINGS)
    report.lost_result(Path(f"{path}.none"), SHAPE, found)
    report.changed_result(Path(f"{path}.none"), found)
    f"{found.nuclei:,} {found.tiles:,} {found.seconds:.1f} {found.problems.items()}"


def patches(folder):
    """A patch of an image and one of a mask."""
    Image.fromarray(tissue((32, 32))).save(folder / "TissueImages.png")
    Image.fromarray(np.uint8(255) * (labels((32, 32)) > 0)).save(folder / "GroundTruth.png")


def read_patches(path):
    """Read a folder of one patch, of which either the image or the mask is the file."""
    folder = path.parent / "patches"
    for kind in ("TissueImages", "GroundTruth"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    patches(folder)
    for whole in folder.glob("*.png"):
        whole.replace(folder / whole.stem / "a-PCH1.png")
    (folder / path.stem / "a-PCH1.png").write_bytes(path.read_bytes())
    patch_files.read(folder)


READERS = {
    "pictures": (pictures, read_picture),
    "tiffs": (tiffs, read_picture),
    "annotations": (annotations, read_annotation),
    "archives": (archives, read_archive),
    "slides": (slides, read_slide),
    "dicoms": (dicoms, read_slide),
    "reports": (reports, read_report),
    "patches": (patches, read_patches),
    "models": (models, read_model),
    "weights": (weights, read_weights),
}
"""What writes the sound files of each reader into a folder, and what reads one of them."""
