"""What a run leaves behind: the bundle, its report page, the diary."""
