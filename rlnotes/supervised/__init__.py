"""Everything that is learned from text and not from reward."""
