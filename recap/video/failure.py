"""What a decoder raises where another one may do better."""


class DecoderFailed(Exception):
    """The decoder could not read the file, or contradicts the file's own clock."""
