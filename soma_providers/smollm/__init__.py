"""Text by SmolLM2, on llama.cpp."""
