"""The image formation model behind :mod:`cryofix.data.simulator`, one idea in each module.

``config`` what can be set; ``protein`` the specimen and its projections; ``placement`` where
particles lie; ``contamination`` what else lies there; ``optics`` the microscope; ``micrograph``
all of it put together; ``dataset`` many of them on disk.
"""
