"""Reports: what a run, or a sweep, has come to, as one HTML page and as pictures."""
