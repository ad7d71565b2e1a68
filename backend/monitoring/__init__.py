"""What operators can see: metrics, logs, and the causes of gaps."""
