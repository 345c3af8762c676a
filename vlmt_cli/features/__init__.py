"""Region features: from photos or from files that others made, into a store, and out of it at memory speed."""
