"""Worker processes, one for each loaded model, and the server's client of a worker."""
