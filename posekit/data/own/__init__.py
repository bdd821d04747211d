"""Data sets of the reader's own: any skeleton, from the files that other tools write."""
