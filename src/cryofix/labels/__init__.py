"""The page on which a person labels particles: label files, pictures, page and server."""
