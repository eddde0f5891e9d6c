"""What the ID server decides.  No I/O: messages in, effects out."""
