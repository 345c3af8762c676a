"""What a run folder is: checkpoints, and where their weights came from."""
