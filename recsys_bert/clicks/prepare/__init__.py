"""Any click log → a prepared folder."""
