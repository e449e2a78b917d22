"""Simulated micrographs with known truth: the default data set, and what the tests run on.

Stylised: blobs instead of proteins. Numbers from these images are no scientific claims.
``parameters`` has what can be set, ``protein`` the specimen and its projections, ``placement``
where particles lie, ``contamination`` what else lies there, ``optics`` the microscope,
``imaging`` all of it put together, and ``dataset`` many of them on disk.
"""
