"""The functional core: events, state, commands, decisions, and the maths of the figures. Pure."""
