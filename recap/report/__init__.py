"""Progress while a run works, and its account afterwards."""
