"""Pictures by OpenAI."""
