"""What people are reported: alerts as text, and the messenger that carries them."""
