"""What the commands show of a row, typed; `json` gives the same as plain values with stable keys."""
