"""Recalibration of stage win rates: landmark rows, candidates, the walk-forward test and the evidence."""
