"""Signalbox: calibrated crypto signals behind a risk interlocking. The domain packages know no cloud; see docs/decisions/0001."""
