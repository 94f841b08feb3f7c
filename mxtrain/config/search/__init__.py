"""The run file's `sweep`: what is searched, how, and which run each point of the search stands for."""
