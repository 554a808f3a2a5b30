"""Build the pages of `make docs`, following each one as a reader would, and the tests of these pages."""
