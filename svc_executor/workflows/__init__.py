"""The durable workflow of a job, and the activities it is made of."""
