"""Photos out of bytes, by one rule for all who read them: limits, orientation, transparency. Needs OpenCV."""
