"""The demo: three labs on this machine, and the number that was wrong."""
