"""Splitting: a stream of text becomes chunks of at most so many tokens, each cut at the best place."""

from batchline.splitting.pieces import Piece, split

__all__ = ["Piece", "split"]
