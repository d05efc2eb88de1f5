"""The workbench's side of the model library: signed packages, their publishers, catalogues, and exports for other servers."""
