"""What training processes say: kept in a file, shown by the worker, shipped to the store while they run."""
