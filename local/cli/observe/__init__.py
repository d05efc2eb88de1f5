"""`signalbox observe`: watch a deployment without money under rules fixed before, then GO, NO-GO or EXTEND."""
