"""`signalbox ftmo`: replay an account from a file under a prop firm's rules."""
