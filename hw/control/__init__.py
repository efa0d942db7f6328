"""Instructions on their way to the units: registers, fetch, checks, dispatch, queues, completion counts."""
