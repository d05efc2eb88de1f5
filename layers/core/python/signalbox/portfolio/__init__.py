"""Portfolio: positions, cash, equity, tax lots and what is declared of them. Pure and exact."""
