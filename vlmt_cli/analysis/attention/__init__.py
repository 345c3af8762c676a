"""What attends to what (section 8.10)."""
