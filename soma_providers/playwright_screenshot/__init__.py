"""Pictures of web pages, by Chromium."""
