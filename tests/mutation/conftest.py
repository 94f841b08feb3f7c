"""The mutation script needs packages that only `make mutation` installs, so pytest does not collect it."""

collect_ignore = ["mutate.py"]
