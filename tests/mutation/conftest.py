"""The mutation tests need packages that only `make mutation` installs; pytest does not collect them."""

collect_ignore_glob = ["*.py"]
