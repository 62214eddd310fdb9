"""Local chat models: the engine that runs them, and how a very small one is made to write readable prose."""
