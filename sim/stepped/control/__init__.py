"""Instructions on their way to the units: fetch, dispatch, queues, completion counts."""
