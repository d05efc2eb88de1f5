"""The paper venue: fills of orders on real bars, as a pure and deterministic model.

It knows bars but no order book. So these limits apply:

* **No market impact.** Our orders move no price, whatever their size; VolumeShare only limits our part of a bar's volume.
* **No queue.** A resting limit order fills when the market trades through its price, not when the market touches it.
* **No path inside a bar.** Where a bar allows two sequences of events, the one that is worse for us happens: stop before target,
  fill before cancel, and no target in the bar of an entry inside it.
* **Prices of a bar are mids.** The ask is half a spread above and the bid half a spread below, at high and low too.

Every other assumption is a named model in `models`. `venue` and `barriers` describe how a bar is read.
"""
