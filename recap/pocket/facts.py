"""What can be true of a picture or clip of the pocket world: the attributes that a caption must get right."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SHAPES = ("square", "ring", "triangle", "bar", "pillar")
COLOURS = ("blue", "cyan", "green", "purple", "red", "yellow")
SIZES = ("small", "large")
PATTERNS = ("plain", "striped", "checkered", "dotted")
SHADES = ("dark", "light")
MOTIONS = (
    "left",
    "right",
    "up",
    "down",
    "up_left",
    "up_right",
    "down_left",
    "down_right",
    "still",
    "growing",
    "shrinking",
)
WIDER_MOTIONS = ("turning", "bouncing")
PLACES = (
    "upper_left",
    "top",
    "upper_right",
    "left_side",
    "middle",
    "right_side",
    "lower_left",
    "bottom",
    "lower_right",
)
CAMERAS = ("still", "pans_left", "pans_right")


@dataclass(frozen=True, slots=True)
class Thing:
    """One object. `doing` is its motion in a clip (`size` is then that of the first frame), its place in a picture."""

    size: str
    colour: str
    shape: str
    doing: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a caption says; `things` are in the alphabetical order of their colours, which are distinct."""

    things: tuple[Thing, ...]
    shade: str
    pattern: str
    camera: str = "still"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as the corpus stores them."""
        return asdict(self) | {"things": [asdict(thing) for thing in self.things]}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Facts:
        """The facts that `as_dict` made `stored` of."""
        return cls(**stored | {"things": tuple(Thing(**thing) for thing in stored["things"])})
