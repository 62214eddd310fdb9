"""NoteService."""
