"""These are scripts for `make bench`, not tests; what they import is not in the environment of the tests."""

collect_ignore_glob = ["*.py"]
