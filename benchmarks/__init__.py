"""What a lab costs, beside the floor and beside others: `python -m benchmarks`."""
