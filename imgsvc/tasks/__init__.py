"""Work that no request waits for: tasks, the reaper, and the verification of stores."""
