"""From a video file to the model-size frames that a request asks for."""

from recap.video.drawing import apply_view
from recap.video.nvdec import missing_nvdec
from recap.video.opening import open_reader
from recap.video.pictures import blank
from recap.video.probe import probe
from recap.video.reader import InProcessReader, Reader
from recap.video.sample import frame_indices
from recap.video.sandbox import SandboxedReader
from recap.video.settings import DecodeSettings
from recap.video.view import coverage

__all__ = [
    "DecodeSettings",
    "InProcessReader",
    "Reader",
    "SandboxedReader",
    "apply_view",
    "blank",
    "coverage",
    "frame_indices",
    "missing_nvdec",
    "open_reader",
    "probe",
]
