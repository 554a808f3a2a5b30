"""The pages of `make docs`: what follows them as a reader does, and their tests."""
