"""A model and examples to predictions and scores: the tasks' official metrics, tables, submission files."""
