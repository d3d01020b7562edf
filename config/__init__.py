"""What an installation was told: its settings, its secrets, its logs, and which implementations it uses."""
