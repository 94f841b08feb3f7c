"""Scripts for `make bench`, not tests; the packages that they import are not installed in the test environment."""

collect_ignore_glob = ["*.py"]
