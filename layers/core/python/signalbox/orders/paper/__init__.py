"""The paper venue: fills of orders on real bars, as a pure model. Deterministic, given its inputs.

It knows bars, not an order book. What that means, first and plainly:

* **No market impact.** Our orders move no price, whatever their size; VolumeShare only limits how much of a bar we get.
* **No queue.** A resting limit order fills when the market trades through its price, not when it is touched.
* **No path inside a bar.** Where a bar allows two stories, the worse one for us happens: stop before target, fill before
  cancel, no target in the bar of an entry inside it.
* **Prices of a bar are mids.** The ask is half a spread above, the bid half a spread below, also at high and low.

Every other assumption is a named model in `models`; the pages of `venue` and `barriers` say how a bar is read.
"""
