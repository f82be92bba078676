"""What staff may do: each once, however often the button is pressed, and with a record of who and why."""
