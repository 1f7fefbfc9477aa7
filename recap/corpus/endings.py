"""Which files of a folder are meant as videos, by their endings."""

from __future__ import annotations

import glob
import os
import re
from pathlib import PurePosixPath

# Of the containers that `video` reads.
VIDEOS = frozenset(
    ".264 .265 .3g2 .3gp .asf .avi .divx .f4v .flv .gif .h264 .h265 .hevc .ivf .m2t .m2ts .m4v .mk3d .mkv .mov .mp4 "
    ".mpe .mpeg .mpg .mts .ogm .ogv .qt .tod .ts .vob .webm .wmv".split()
)
# Of videos that `video` refuses, though FFmpeg reads them.
REFUSED = frozenset(".dv .m1v .m2v .mjpeg .mjpg .mp2v .mpv .mxf .nut .rm .rmvb .wtv .y4m".split())
# What lies beside videos and nobody takes for one. Any other ending may be a video's: files must not be lost to a
# list of ours that lacks it.
_BESIDE = frozenset(
    ".aac .ass .bmp .cfg .csv .db .doc .docx .flac .gz .h5 .htm .html .ini .ipynb .jpeg .jpg .json .jsonl .lock .log "
    ".m3u .m3u8 .m4a .md .md5 .mp3 .npy .npz .nfo .opus .parquet .pdf .pkl .png .pt .pth .py .rst .safetensors .sh "
    ".sha256 .srt .sub .svg .tar .tfrecord .tgz .thm .tif .tiff .toml .tsv .txt .url .vtt .wav .webp .xls .xlsx .xml "
    ".xmp .yaml .yml .zip".split()
)
_BESIDE_NAMES = frozenset("LICENSE MD5SUMS Makefile NOTICE README SHA256SUMS VERSION _SUCCESS".split())


def ending(name: str) -> str:
    """Of a path, `.mp4`; empty where it has none."""
    found = os.path.splitext(name)[1].lower()
    return found if len(found) > 1 else ""


def is_video(name: str) -> bool:
    """Whether a file is called as videos are."""
    return ending(name) in VIDEOS


def is_tar(name: str) -> bool:
    """Whether a file is called as tars are, plain or compressed."""
    return re.search(r"\.(tar|tar\.(gz|bz2|xz|zst|lz4)|tgz|tbz2|txz)$", name.lower()) is not None


def names_ending(pattern: str) -> bool:
    """Whether a glob says itself how names end, `*.y4m`, and so which files are videos."""
    found = PurePosixPath(pattern).suffix
    return bool(found) and not glob.has_magic(found)


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, begins with a dot, as what a system or a trash can keeps does."""
    return "/." in f"/{name}"


def may_be_video(name: str) -> bool:
    """Whether a file whose ending is none of `VIDEOS` could all the same be one."""
    base = os.path.basename(name)
    return not base.startswith(".") and base not in _BESIDE_NAMES and ending(name) not in _BESIDE
