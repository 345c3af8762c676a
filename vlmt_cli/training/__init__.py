"""Examples and a model to a run: one loop, dynamic stop-and-go, the order of tasks, the optimizer."""
