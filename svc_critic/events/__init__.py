"""Events of the critic, and its handlers of the events of other contexts."""
