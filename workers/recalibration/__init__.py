"""Recalibrating stage win rates from the log: reading histories, keeping records, forecasting, adopting."""
