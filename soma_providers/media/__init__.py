"""What several providers share: the diagram model, calls of remote providers, parameters, feedback."""
