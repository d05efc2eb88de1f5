"""What people are told: alerts as text, and the messenger that carries them."""
