"""G2, image retrieval: how well does a caption describe an image? (equation 2)

Trained as a choice of four: the pair itself first, then the image with a random caption, a random image with the
caption, and the image with a hard caption (section 3.2). Scored on every caption against every image.
"""
