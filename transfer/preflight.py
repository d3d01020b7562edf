"""What would stop a push, found before any byte moves; all of it in one report."""
