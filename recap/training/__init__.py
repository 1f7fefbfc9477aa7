"""Training a PLLaVA: LoRA and projector on a frozen image LLaVA, or a whole model from scratch."""
