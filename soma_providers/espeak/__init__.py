"""Speech by eSpeak NG."""
