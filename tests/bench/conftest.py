"""Which tests of the bench can be collected."""

from importlib.util import find_spec

# `make test` runs in an environment without the bench's packages; `make test-bench` has them.
collect_ignore = [] if find_spec("pyperf") else ["test_runs.py"]
