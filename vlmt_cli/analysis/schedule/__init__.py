"""What dynamic stop-and-go did in a run, from its metrics."""
