"""Money: what asking costs, what may be spent, and what was."""
