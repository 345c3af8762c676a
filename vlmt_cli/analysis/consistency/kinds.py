"""Kinds of concepts, by their lemmas: colours, sizes and positions. A word may be of none."""

KINDS = {
    "colour": frozenset("""red green blue yellow orange purple violet pink brown tan beige cream black white gray grey
    silver gold golden blond blonde brunette maroon turquoise teal navy lavender khaki dark light pale bright colorful
    colourful multicolored""".split()),
    "size": frozenset("""big large small little tiny huge giant enormous massive tall short long wide narrow thin thick
    fat skinny slim slender chubby deep shallow mini miniature medium""".split()),
    "position": frozenset("""left right top bottom front back middle center centre side rear corner edge upper lower
    inner outer far near close foreground background first second third last next""".split()),
}  # fmt: skip
"""By the name of the kind, in print."""
