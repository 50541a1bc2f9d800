"""Between streams of different lanes."""
