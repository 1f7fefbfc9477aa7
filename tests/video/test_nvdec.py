"""The decoder chip: the way there and back without one, and the chip itself where there is one."""

from __future__ import annotations

from itertools import pairwise

import av
import numpy as np
import pytest

from recap.records import FrameRequest
from recap.video import DecodeSettings, InProcessReader, SandboxedReader, missing_nvdec, nvdec
from recap.video.upright import PLANES, in_memory

REQUEST = FrameRequest(size=96)
CLIPS = ("h264.mp4", "hevc-10-bit.mp4", "vp9.webm", "stream.ts", "yuv444p.mp4", "long.mkv", "variable.mp4")


@pytest.fixture
def no_card(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def on_processor(monkeypatch):
    """A reader whose chip is FFmpeg's own decoder."""
    monkeypatch.setattr(nvdec, "_prove", lambda accelerator: None)
    reader = InProcessReader(DecodeSettings(hardware="nvdec"))
    reader.chip.accelerator = None
    return reader


class TestWithoutOne:
    def test_it_is_refused_with_what_to_do(self, no_card):
        assert missing_nvdec().startswith("decode.hardware: NVDEC cannot be used here; it takes an NVIDIA card")

    def test_a_sandbox_tells_why_its_child_does_not_start(self, no_card, clips):
        reader = SandboxedReader(DecodeSettings(hardware="nvdec"))
        with pytest.raises(RuntimeError, match=r"cannot be started.*decode\.hardware: NVDEC cannot be used here"):
            reader.read(str(clips / "h264.mp4"), REQUEST)

    def test_a_chip_that_decodes_otherwise_is_refused(self, monkeypatch):
        decoded = iter([np.zeros(3), np.ones(3)])
        monkeypatch.setattr(nvdec, "_decoded", lambda decoder, packets: next(decoded))
        with pytest.raises(ValueError, match="does not decode to the standard's pixels"):
            nvdec._prove(None)


class TestTheWayThere:
    def test_the_trial_clip_moves_and_is_decoded_alike(self):
        assert nvdec._prove(None).name == "h264"
        frames = nvdec._decoded(av.CodecContext.create("h264", "r"), nvdec._clip())
        assert len(frames) == nvdec.FRAMES
        assert all((a != b).mean() > 0.5 for a, b in pairwise(frames))

    @pytest.mark.parametrize("name", CLIPS)
    @pytest.mark.parametrize("decoder", ["exact", "fast"])
    def test_frames_are_those_of_the_other_decoders(self, on_processor, read, clips, name, decoder):
        on_processor.settings = DecodeSettings(hardware="nvdec", decoder=decoder)
        frames, expected = on_processor.read(str(clips / name), REQUEST), read(name, decoder=decoder)
        assert frames.decoder.startswith("nvdec")
        assert (frames.times_s, frames.flags) == (expected.times_s, expected.flags)
        if decoder == "exact":
            np.testing.assert_array_equal(frames.pixels, expected.pixels)

    @pytest.mark.parametrize("name", ["damaged.mp4", "long.avi", "h264.mp4"])
    def test_what_the_chip_cannot_read_is_read_without_it(self, on_processor, read, clips, name, monkeypatch):
        class Refusing:
            accelerator = None

            def shots(self, *where):
                return "nvdec", nvdec._or_failed(failing())

        def failing():
            raise RuntimeError("Hardware accelerated decode requested but no stream is compatible")
            yield

        on_processor.chip = Refusing()
        on_processor.settings = DecodeSettings(hardware="nvdec", fallback=name == "damaged.mp4")
        frames, expected = on_processor.read(str(clips / name), REQUEST), read(name, size=96)
        assert frames.decoder == expected.decoder
        np.testing.assert_array_equal(frames.pixels, expected.pixels)

    def test_damage_that_it_reports_leads_to_another_decoder(self, on_processor, read, clips):
        frames, expected = on_processor.read(str(clips / "damaged.mp4"), REQUEST), read("damaged.mp4", size=96)
        assert (frames.decoder, frames.flags) == (expected.decoder, expected.flags)

    @pytest.mark.parametrize(("chip", "planar"), PLANES.items())
    def test_planes_come_back_without_a_loss(self, chip, planar):
        frame = av.VideoFrame(64, 48, planar)
        bits = {"yuv420p": 8, "yuv420p10le": 10, "yuv420p12le": 12}[planar]
        kind, draw = np.dtype("u1" if bits == 8 else "<u2"), np.random.default_rng(bits)
        for plane in frame.planes:
            plane.update(draw.integers(0, 2**bits, plane.buffer_size // kind.itemsize).astype(kind).tobytes())
        back = frame.reformat(format=chip).reformat(format=planar)
        assert [bytes(plane) for plane in back.planes] == [bytes(plane) for plane in frame.planes]

    def test_frames_of_a_processor_are_left_alone(self):
        frame = av.VideoFrame(64, 48, "nv12")
        assert in_memory(frame) is frame

    def test_cards_are_those_that_the_process_may_see(self, monkeypatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,GPU-a")
        assert nvdec._cards() == 3


@pytest.mark.skipif(missing_nvdec() is not None, reason="there is no NVDEC here")
class TestTheChip:
    @pytest.mark.parametrize("name", CLIPS)
    @pytest.mark.parametrize("sandbox", [False, True])
    def test_pixels_are_those_of_a_processor(self, read, clips, name, sandbox):
        reader = (SandboxedReader if sandbox else InProcessReader)(DecodeSettings(hardware="nvdec"))
        frames, expected = reader.read(str(clips / name), REQUEST), read(name, size=96)
        reader.close()
        np.testing.assert_array_equal(frames.pixels, expected.pixels)
