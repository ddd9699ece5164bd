"""Time, memory and operations of training steps, measured or estimated without trained weights."""
