"""UPDATE: one configuration, one visible loop."""
