"""Multiple choice: which of four answers is right?"""
