"""Batchline: documents in a bucket become model answers and an invoice in tables."""
