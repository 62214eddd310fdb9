"""What the critic takes in from the topics of other contexts."""
