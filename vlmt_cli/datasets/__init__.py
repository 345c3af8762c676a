"""Official annotation files, one module a format, and the dict of all datasets."""
