"""Dialects of the record: each a pure function of the tree that hop/1 writes."""
