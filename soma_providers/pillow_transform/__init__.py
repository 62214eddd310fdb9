"""Changed pictures, by Pillow."""
