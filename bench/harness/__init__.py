"""What every row of the benchmark is measured with."""
