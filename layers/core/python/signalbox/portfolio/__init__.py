"""Portfolio: positions, cash, equity, tax lots and the rows of the tax form. Pure, with exact arithmetic."""
