"""How clips flow: the stages, and the two ways to run them (Ray Data, a plain loop)."""
