"""The deliverable: deterministic Parquet and WebDataset shards."""

from recap.shards.generation import delete_other_generations, write_generation
from recap.shards.notes import Shard
from recap.shards.settings import OutputSettings

__all__ = ["OutputSettings", "Shard", "delete_other_generations", "write_generation"]
