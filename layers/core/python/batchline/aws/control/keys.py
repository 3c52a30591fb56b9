"""Keys of the control table."""


def alone(name: str) -> dict[str, str]:
    """Make the key of a row that has its partition for itself."""
    return {"pk": name, "sk": "-"}
