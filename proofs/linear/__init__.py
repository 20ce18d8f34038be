"""Claims about linear MDPs."""
