"""Child processes: the handle on one, and the child's side of the pipe."""
