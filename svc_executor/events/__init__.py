"""What the executor takes in from the topics of other contexts."""
