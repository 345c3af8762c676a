"""Errors, files, pickles and image identity: what every floor above stands on."""
