"""An observation: a deployed model is watched without money under rules that were fixed before. Then GO, NO-GO or EXTEND.

`rules` is the document that is hashed, `sequential` and `evidence` are the tests on settled signals, `judgement` compares what
was found with each criterion. Pure: the ledger is read elsewhere (docs/observation.md).
"""
