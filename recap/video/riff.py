"""Whether an AVI file has all that it says it has (RIFF, with the further lists of OpenDML)."""

from __future__ import annotations

from recap.video.extent import is_filled


def is_whole(path: str) -> bool:
    """Whether the file at `path` holds the ends of all its lists; False where one does not say where that is."""
    end = 0
    with open(path, "rb") as file:
        while file.read(4) == b"RIFF":
            length = int.from_bytes(file.read(4), "little")
            end = file.tell() + length
            if not length or not is_filled(file, end):
                return False
            file.seek(end)
    return end > 0
