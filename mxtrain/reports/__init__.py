"""HTML reports and PNG pictures of runs and sweeps."""
