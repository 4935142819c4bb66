"""Download real nuclei: `python -m metalib download nuc [FOLDER]` makes FOLDER/nuc, which `data.load("nuc", ...)` reads.

Source: image set BBBC038v1 of the Broad Bioimage Benchmark Collection, stage 1 of the 2018 Data Science Bowl (CC0);
Caicedo et al., Nature Methods 2019. Nothing is unpacked: images are read from the archive and written under new names.
"""

import re
import tempfile
from pathlib import Path, PureWindowsPath
from zipfile import BadZipFile, ZipFile

import imageio.v3 as iio
import numpy as np
import pooch
from tqdm import tqdm

from metalib import _files
from metalib.data import image_files
from metalib.data.folders import SPLITS

URL = "https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip"
# Not computed here, where the archive was out of reach, but recorded alike by unrelated projects on GitHub: for this
# address (82,923,446 bytes) by rajpatilrobotics/tessscope@503ee9a, for this archive by dumbthing999-ui/nuclei-lens@e7c60ad
# and, as Git LFS pointer of a file of the same name and size, by rishilImperialX/nucleus_segmented_dataset@e9f702d.
SHA256 = "dcb6edc2690f137406638b2309581a71522c4dff19157d118453b448dcddcb68"
COUNT = 334
SIDE_PX = 256
DARK = 100
_MEMBER_BYTES = 2**24  # of an unpacked member at most: its images have up to 1.5 million pixels
_MEMBER = re.compile(r"([0-9a-f]{64})/(images/\1|masks/[^/]+)\.png")


def download_nuc(folder=None, *, url=URL, sha256=SHA256, count=COUNT):
    """Make <folder>/nuc and return its path. It appears whole or not at all, and is never overwritten.

    folder: default METALIB_DATA, else `shared/data` beside the repository. sha256: 64 hex digits that the archive must have. count: images it must yield.
    FileExistsError: <folder>/nuc is there. OSError: no connection, cut off, no space, or a folder that cannot be written
    to. ValueError: the archive has another checksum, is damaged or unsafe, or yields another number of images. Afterwards a second call starts anew.
    """
    target = Path(folder or _files.data_folders()[0]) / "nuc"
    if target.exists():
        raise FileExistsError(f"{target} is there and stays as it is: remove it, or give another folder")
    _files.check_writable(target.parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".nuc.") as temporary:
        made = Path(temporary) / "nuc"
        convert(fetch(temporary, url, sha256), made, count)
        made.rename(target)
    return target


def fetch(folder, url=URL, sha256=SHA256):
    """Download the archive into `folder` and return its path; it is there only if the checksum agrees.

    OSError: no connection, or no space; ValueError: another checksum.
    """
    if not re.fullmatch("[0-9a-fA-F]{64}", str(sha256)):
        raise ValueError(f"sha256 is {sha256!r}, expected 64 hex digits")
    downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16)
    try:
        return Path(pooch.retrieve(url, sha256, "stage1_train.zip", folder, downloader=downloader))
    except OSError as error:  # also every error of the connection
        raise OSError(f"cannot download {url} ({error}): check connection and free space, and try again") from error
    except ValueError as error:
        raise ValueError(
            f"{url} is not the archive expected ({error}) Try again; if it is the same again, ask why it changed, and"
            " give its new sum as sha256 only if you trust it"
        ) from error


def convert(archive, target, count=COUNT):
    """Write the fluorescence images of a stage1_train.zip to <target>/{train,val,test}/{images,labels}/<stem>.png.

    archive: path of a zip of <id>/images/<id>.png and <id>/masks/*.png; other members are ignored.
    Images are (256, 256) uint8, labels (256, 256) uint8 in {0, 255}; stem: the first 16 of the 64 hex digits of the id.
    ValueError names the archive, and the member at fault: absolute or with "..", damaged, or a mask that does not fit;
    or it names both numbers where not `count` images are found. Then nothing or a part of `target` is written.
    """
    target = Path(target)
    with _open(archive) as file:
        masks = _masks_by_id(file)
        images = [name for name in sorted(masks) if _fluorescence(file, name) is not None]  # read again, not kept
        if len(images) != count:
            raise ValueError(
                f"{archive} holds {len(images)} gray, dark images of {SIDE_PX} x {SIDE_PX} px, expected {count}: "
                "it is not the stage1_train.zip of BBBC038v1"
            )
        with tqdm(total=count, desc="convert", unit="image") as progress:
            for split, names in split_ids(images).items():
                for name in names:
                    stem = f"{name[:16]}.png"
                    image_files.write_image(target / split / "images" / stem, _fluorescence(file, name))
                    image_files.write_image(target / split / "labels" / stem, _join(file, masks[name], name))
                    progress.update()


def split_ids(ids):
    """{split: ids} of 70, 10 and 20 percent in sorted order; 334 ids become 234, 33 and 67."""
    ids = sorted(ids)
    first, second = round(0.7 * len(ids)), round(0.8 * len(ids))
    return dict(zip(SPLITS, (ids[:first], ids[first:second], ids[second:]), strict=True))


def _open(archive):
    try:
        return ZipFile(archive)
    except BadZipFile as error:
        raise ValueError(f"{archive} is no zip archive ({error}): it may be truncated, download it again") from error


def _masks_by_id(file):
    """{id: names of its masks} for every image of the archive."""
    images, masks = set(), {}
    for name in file.namelist():
        path = PureWindowsPath(name)  # knows both slashes, and drives
        if path.anchor or ".." in path.parts:
            raise ValueError(f"{file.filename} has the unsafe member {name!r}: do not use this archive")
        if member := _MEMBER.fullmatch(name):
            if member[2].startswith("images/"):
                images.add(member[1])
            else:
                masks.setdefault(member[1], []).append(name)
    return {name: masks.get(name, []) for name in images}


def _fluorescence(file, name):
    """The image of an id as (256, 256) uint8; None if it is coloured, bright or of another size."""
    image = _gray(_read(file, f"{name}/images/{name}.png"))
    fits = image is not None and image.shape == (SIDE_PX, SIDE_PX) and np.median(image) < DARK
    return image if fits else None


def _join(file, names, image):
    """(256, 256) uint8 in {0, 255}: 255 where any mask of `names` is above 127."""
    if not names:
        raise ValueError(f"{file.filename} has no mask of image {image}: download it again")
    joined = np.zeros((SIDE_PX, SIDE_PX), bool)
    for name in names:
        mask = _gray(_read(file, name))
        if mask is None or mask.shape != joined.shape:
            raise ValueError(f"{file.filename}: mask {name} is not 8-bit gray of {joined.shape} px like its image")
        joined |= mask > 127
    return joined.astype(np.uint8) * 255


def _read(file, name):
    try:
        with file.open(name) as member:
            content = member.read(_MEMBER_BYTES + 1)  # whatever size the archive tells, no more is unpacked
        if len(content) > _MEMBER_BYTES:
            raise ValueError(f"it is larger than {_MEMBER_BYTES} bytes")
        return iio.imread(content, plugin="pillow", index=0)
    except Exception as error:  # zipfile, zlib and every image plugin raise their own kinds
        cause = " ".join(str(error.__cause__ or error).split())
        raise ValueError(f"{file.filename}: {name} cannot be read ({cause}): download the archive again") from error


def _gray(pixels):
    """(H, W) uint8 of pixels (H, W) or (H, W, C) whose colours agree, without alpha; else None."""
    if pixels.dtype != np.uint8:
        return None
    colours = pixels[..., None] if pixels.ndim == 2 else pixels
    if colours.shape[-1] in (2, 4):
        colours = colours[..., :-1]
    return colours[..., 0] if (colours == colours[..., :1]).all() else None
