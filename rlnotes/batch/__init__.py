"""Many runs, one command: sweeps, matrices, notebooks, sizes, the self-test."""
