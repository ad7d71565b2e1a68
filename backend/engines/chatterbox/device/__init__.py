"""The device: memory, streams, CUDA graphs, kernels, and its loss."""
