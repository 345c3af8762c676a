"""Training data of people's own, in the forms in which people train on it: one file a form."""
