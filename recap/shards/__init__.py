"""The deliverable: deterministic Parquet and WebDataset shards."""

from recap.ledger import Shard
from recap.shards.generation import delete_other_generations, write_generation
from recap.shards.notes import generation_of
from recap.shards.settings import OutputSettings
from recap.shards.videos import Videos
from recap.shards.webdataset import read_samples, samples

__all__ = [
    "OutputSettings",
    "Shard",
    "Videos",
    "delete_other_generations",
    "generation_of",
    "read_samples",
    "samples",
    "write_generation",
]
