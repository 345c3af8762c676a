"""One module a task group: its head, loss and score; and the table of all tasks."""
